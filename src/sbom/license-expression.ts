/** Identifiers of the SPDX License List (3.25) that distributions and package registries use most. */
const known = new Set(
  `0BSD AFL-2.0 AFL-2.1 AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.0 Apache-1.1 Apache-2.0 Artistic-1.0
Artistic-1.0-Perl Artistic-2.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-4-Clause BSD-4-Clause-UC
BSL-1.0 BlueOak-1.0.0 bzip2-1.0.6 CC0-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CDDL-1.0 CDDL-1.1 CPL-1.0
curl ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 FSFAP FSFUL FSFULLR FTL GFDL-1.1-only GFDL-1.1-or-later GFDL-1.2-only
GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0 GPL-2.0-only GPL-2.0-or-later
GPL-3.0 GPL-3.0-only GPL-3.0-or-later HPND ICU IJG Info-ZIP ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1 LGPL-2.1-only
LGPL-2.1-or-later LGPL-3.0 LGPL-3.0-only LGPL-3.0-or-later Libpng libtiff MIT MIT-0 MIT-CMU MPL-1.0 MPL-1.1 MPL-2.0
MS-PL NCSA NTP OFL-1.1 OLDAP-2.8 OpenSSL PHP-3.01 PostgreSQL PSF-2.0 Python-2.0 Python-2.0.1 Ruby SGI-B-2.0 Sleepycat
SMLNJ TCL Unicode-3.0 Unicode-DFS-2016 Unlicense UPL-1.0 Vim W3C WTFPL X11 Xnet Zlib ZPL-2.1`.split(/\s+/),
)

const exceptions = new Set(
  `Autoconf-exception-3.0 Bison-exception-2.2 Classpath-exception-2.0 GCC-exception-2.0 GCC-exception-3.1
GPL-3.0-linking-exception LLVM-exception OCaml-LGPL-linking-exception OpenJDK-assembly-exception-1.0
Qt-GPL-exception-1.0 Universal-FOSS-exception-1.0`.split(/\s+/),
)

/** True for one identifier of the SPDX License List, as far as that is known here. */
export function isLicenseId(text: string): boolean {
  return known.has(text)
}

const longest = 1000

/** True for an SPDX license expression (SPDX 2.3, annex D) of licences that {@link isLicenseId} knows. */
export function isLicenseExpression(text: string): boolean {
  if (text.length > longest) return false
  const tokens = text.match(/[()]|[^\s()]+/g) ?? []
  let position = 0
  const simple = (): boolean => {
    const token = tokens[position++] ?? ''
    if (token === '(') return expression() && tokens[position++] === ')'
    if (!known.has(token) && !(token.endsWith('+') && known.has(token.slice(0, -1)))) return false
    if (tokens[position] !== 'WITH') return true
    position++
    return exceptions.has(tokens[position++] ?? '')
  }
  const expression = (): boolean => {
    if (!simple()) return false
    while (tokens[position] === 'AND' || tokens[position] === 'OR') {
      position++
      if (!simple()) return false
    }
    return true
  }
  return expression() && position === tokens.length
}

/** A directory that a package manager or a shell leaves behind. */
export interface LeftoverRule {
  readonly kind: 'cache' | 'temporary'
  /** Whose it is. */
  readonly name: string
  /** Matches the directory's path, without a leading slash. */
  readonly directory: RegExp
  /** Files directly in it that count, where not everything in and below it does. */
  readonly files?: RegExp
  readonly advice: string
}

/** Directories that are homes: of root, of users, of services, and `/` itself. */
const home = '(?:(?:root|home/[^/]+|var/lib/[^/]+)/)?'

function cache(name: string, directory: string, advice: string, files?: RegExp): LeftoverRule {
  return { kind: 'cache', name, directory: new RegExp(`^${directory}$`), advice, ...(files && { files }) }
}

const inHome = (path: string): string => home + path
const cacheMount = (target: string): string => `use RUN --mount=type=cache,target=${target}`

/** Only what can be downloaded or made again at no loss: no __pycache__, no databases of installed packages. */
export const leftoverRules: readonly LeftoverRule[] = [
  cache('apt', 'var/lib/apt/lists', 'end the RUN with `&& rm -rf /var/lib/apt/lists/*`'),
  cache('apt', 'var/cache/apt', 'end the RUN with `&& apt-get clean`', /\.bin$/),
  cache('apt', 'var/cache/apt/archives', 'end the RUN with `&& apt-get clean`'),
  cache('apk', '(?:var/cache/apk|etc/apk/cache)', 'use `apk add --no-cache`'),
  cache('dnf', 'var/cache/(?:dnf|libdnf5|yum)', 'end the RUN with `&& dnf clean all`'),
  cache('zypper', 'var/cache/zypp', 'end the RUN with `&& zypper clean --all`'),
  cache('pacman', 'var/cache/pacman/pkg', 'end the RUN with `&& pacman -Scc --noconfirm`'),
  cache('pip', inHome('\\.cache/pip'), 'use `pip install --no-cache-dir`'),
  cache('uv', inHome('\\.cache/uv'), cacheMount('/root/.cache/uv')),
  cache('poetry', inHome('\\.cache/pypoetry/(?:cache|artifacts)'), 'use `poetry install --no-cache`'),
  cache('conda', '(?:opt|root|usr/local)/[^/]*conda[^/]*/pkgs', 'end the RUN with `&& conda clean -afy`'),
  cache(
    'npm',
    inHome('\\.npm/_(?:cacache|logs|npx)'),
    'end the RUN with `&& npm cache clean --force`, or ' + cacheMount('/root/.npm'),
  ),
  cache(
    'yarn',
    `(?:usr/local/share/\\.cache/yarn|${inHome('\\.cache/yarn')}|${inHome('\\.yarn/berry/cache')})`,
    'end the RUN with `&& yarn cache clean`',
  ),
  cache('pnpm', inHome('\\.local/share/pnpm/store'), cacheMount('/root/.local/share/pnpm/store')),
  cache('bun', inHome('\\.bun/install/cache'), cacheMount('/root/.bun/install/cache')),
  cache('go', inHome('\\.cache/go-build'), cacheMount('/root/.cache/go-build')),
  cache('go', `(?:usr/local/|${home})go/pkg/mod`, `${cacheMount('/go/pkg/mod')}, or build in a stage of its own`),
  cache(
    'cargo',
    `(?:${inHome('\\.cargo')}|usr/local/cargo)/(?:registry/(?:cache|src|index)|git/(?:db|checkouts))`,
    cacheMount('/usr/local/cargo/registry'),
  ),
  cache('maven', inHome('\\.m2/repository'), `${cacheMount('/root/.m2')}, or build in a stage of its own`),
  cache(
    'gradle',
    inHome('\\.gradle/(?:caches|wrapper/dists)'),
    `${cacheMount('/root/.gradle')}, or build in a stage of its own`,
  ),
  cache(
    'composer',
    `(?:${inHome('\\.composer/cache')}|${inHome('\\.cache/composer')})`,
    'end the RUN with `&& composer clear-cache`',
  ),
  cache(
    'gem',
    '(?:usr/local/bundle|usr/local/lib/ruby/gems/[^/]+|var/lib/gems/[^/]+)/cache',
    'end the RUN with `&& rm -rf "$(gem env gemdir)"/cache`',
    /\.gem$/,
  ),
  cache('nuget', inHome('\\.local/share/NuGet/(?:http-cache|v3-cache)'), cacheMount('/root/.local/share/NuGet')),
  cache('ccache', inHome('(?:\\.ccache|\\.cache/ccache)'), cacheMount('/root/.cache/ccache')),
  {
    kind: 'temporary',
    name: 'tmp',
    directory: /^(?:var\/)?tmp$/,
    advice: 'remove it in the same RUN, or use RUN --mount=type=tmpfs,target=/tmp',
  },
]

/** The rule for a directory's path without its leading slash. */
export function leftoverRuleFor(path: string): LeftoverRule | undefined {
  return leftoverRules.find((rule) => rule.directory.test(path))
}

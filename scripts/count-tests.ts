// From the JUnit report of a run of tests that ended with STATUS: names those that failed, and ends with the line
// "N passed, N failed, N skipped". A file that could not be loaded has no test in the report; it is one that failed.
const [path = '', status = '0'] = process.argv.slice(2)
const file = Bun.file(path)
const report = (await file.exists()) ? await file.text() : ''
const head = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? ''
const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
const plain = (text = ''): string =>
  text.replace(
    /&(lt|gt|quot|apos|amp);/g,
    (_, name: string) => ({ lt: '<', gt: '>', quot: '"', apos: "'" })[name] ?? '&',
  )

const reported = count('failures') + count('errors')
const failed = reported === 0 && status !== '0' ? 1 : reported
const skipped = count('skipped')
const failures = /<testcase name="([^"]*)" classname="([^"]*)"[^>]*\bfile="([^"]*)"[^>]*>\s*<(?:failure|error)\b/g
for (const [, name, group, source] of report.matchAll(failures))
  console.log(
    `failed: ${plain(source)}: ${[group, name]
      .filter((one) => one !== '')
      .map(plain)
      .join(' ')}`,
  )
if (failed > reported) console.log('failed: the run itself; what it says stands above')
console.log(`${count('tests') - reported - skipped} passed, ${failed} failed, ${skipped} skipped`)

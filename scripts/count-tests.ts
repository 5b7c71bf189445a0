// Prints "N passed, N failed, N skipped" from the JUnit report of a run of tests that ended with STATUS. A file that could not be
// loaded has no test in the report; it is one that failed.
const [path = '', status = '0'] = process.argv.slice(2)
const file = Bun.file(path)
const report = (await file.exists()) ? await file.text() : ''
const head = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? ''
const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
const reported = count('failures') + count('errors')
const failed = reported === 0 && status !== '0' ? 1 : reported
const skipped = count('skipped')
console.log(`${count('tests') - reported - skipped} passed, ${failed} failed, ${skipped} skipped`)

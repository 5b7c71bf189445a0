// Prints "N passed, N failed, N skipped" from a JUnit report.
const [path = ''] = process.argv.slice(2)
const report = await Bun.file(path).text()
const head = /<testsuites\b[^>]*>/.exec(report)?.[0]
if (head === undefined) throw new Error(`${path} is no JUnit report`)
const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0)
const failed = count('failures') + count('errors')
const skipped = count('skipped')
console.log(`${count('tests') - failed - skipped} passed, ${failed} failed, ${skipped} skipped`)

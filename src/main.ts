import { runCli } from './cli/run-cli.ts'
import { startWorker } from './threads.ts'

// The binary begins with functions compiled five times later than by Bun's default (scripts/build.sh): most commands are over before
// what they compile has paid. One that takes longer than this many milliseconds goes on with the default.
setTimeout(() => Bun.unsafe.setJITPolicy(1), 200).unref()

process.exit(await runCli(process.argv.slice(2), process.env, { startWorker, isProgram: true }))

import { runCli } from './cli/run-cli.ts'
import { startWorker } from './threads.ts'

// They are for programs of Node.js and Bun: one switches the verification of every server off, one prints requests with their
// credentials.
for (const [name, harmless] of [
  ['NODE_TLS_REJECT_UNAUTHORIZED', '1'],
  ['BUN_CONFIG_VERBOSE_FETCH', '0'],
] as const)
  if (name in process.env) process.env[name] = harmless

// The binary begins with functions compiled five times later than by Bun's default (scripts/build.sh): most commands are over before
// what they compile has paid. One that takes longer than this many milliseconds goes on with the default.
setTimeout(() => Bun.unsafe.setJITPolicy(1), 200).unref()

process.exit(await runCli(process.argv.slice(2), process.env, { startWorker, isProgram: true }))

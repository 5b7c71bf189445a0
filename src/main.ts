import { runCli } from './cli/run-cli.ts'
import { startWorker } from './threads.ts'

process.exit(await runCli(process.argv.slice(2), process.env, { startWorker, isProgram: true }))

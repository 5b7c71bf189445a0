import { CairnError } from '../errors/error.ts'

/** The error for a flag's value that cannot be read, in pflag's words. `flag` is how the flag is shown: `-e, --env`. */
export function invalidArgument(value: string, flag: string, reason: string): CairnError {
  return new CairnError('USAGE', `invalid argument ${JSON.stringify(value)} for "${flag}" flag: ${reason}`)
}

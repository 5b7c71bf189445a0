import { isCairnError } from '../errors/error.ts'

/**
 * The status of work that goes on until its user interrupts it: that is the usual end of it and no failure worth a message.
 * The work throws CANCELED then.
 */
export async function untilInterrupted(work: () => Promise<number | void>): Promise<number> {
  try {
    return (await work()) ?? 0
  } catch (error) {
    if (isCairnError(error, 'CANCELED')) return error.exitCode ?? 1
    throw error
  }
}

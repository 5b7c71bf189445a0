import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { isRootless } from '../rootless/namespace.ts'

/** How long another store may take to make its network, in milliseconds. After that this one goes on all the same. */
const patience = 5_000
const pause = 5

/**
 * Keeps the processes of other stores from choosing subnets and making bridges in this network namespace until the result
 * is disposed of: two that look at the same moment would find the same subnet free. The lock is that of the namespace's own
 * file, so it is there for exactly those who share the namespace, and nothing is left behind. Without root each store has a
 * namespace for itself.
 */
export async function lockNetworkHome(): Promise<Disposable> {
  if (isRootless()) return { [Symbol.dispose]: () => {} }
  const fd = open('/proc/thread-self/ns/net', openFlags.O_RDONLY)
  const deadline = performance.now() + patience
  try {
    while (!tryLock(fd, 'exclusive', 'the network namespace') && performance.now() < deadline) await Bun.sleep(pause)
  } catch (error) {
    close(fd)
    throw error
  }
  return {
    [Symbol.dispose]: () => {
      close(fd)
    },
  }
}

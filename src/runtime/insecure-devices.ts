import { listDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import type { RuntimeDevice } from '../oci/runtime-spec.ts'

const device = (path: string, type: 'b' | 'c', major: number, minor: number): RuntimeDevice => ({
  path,
  type,
  major,
  minor,
})

/** Loop devices beyond those in use that a step finds. */
const spareLoops = 7

/** The device files that a step with `--security=insecure` has besides the standard ones: BuildKit's list. */
export function insecureDevices(): RuntimeDevice[] {
  return [
    device('/dev/kmsg', 'c', 1, 11),
    device('/dev/cuse', 'c', 10, 203),
    device('/dev/fuse', 'c', 10, 229),
    device('/dev/kvm', 'c', 10, 232),
    device('/dev/net/tun', 'c', 10, 200),
    device('/dev/loop-control', 'c', 10, 237),
    ...Array.from({ length: firstFreeLoop() + spareLoops + 1 }, (_, number) =>
      device(`/dev/loop${number}`, 'b', 7, number),
    ),
  ]
}

function firstFreeLoop(): number {
  if (tryStat('/sys/block') === undefined) return 0
  const used = new Set(
    listDirectory('/sys/block')
      .map(({ name }) => name)
      .filter((name) => /^loop\d+$/.test(name) && tryStat(`/sys/block/${name}/loop/backing_file`) !== undefined),
  )
  let number = 0
  while (used.has(`loop${number}`)) number++
  return number
}

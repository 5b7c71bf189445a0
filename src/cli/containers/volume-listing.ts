import { listVolumeUsers, type Volume, volumeDirectory } from '../../containers/volume-records.ts'
import type { Store } from '../../content/store.ts'
import { volumeDriver, volumeSize } from '../../engine/containers/volumes.ts'
import type { Listing } from '../printer.ts'
import { formatByteSize } from '../units.ts'

/**
 * The columns of volumes. What takes a look at every file is `N/A` in plain lists, as docker has it.
 *
 * @param isMeasured - sizes and numbers of containers are to be found out
 */
export function volumeListing(store: Store, isMeasured = false): Listing<Volume> {
  const users = isMeasured ? listVolumeUsers(store) : undefined
  return {
    columns: {
      Name: { heading: 'VOLUME NAME', value: ({ name }) => name },
      Driver: { heading: 'DRIVER', value: () => volumeDriver },
      Scope: { heading: 'SCOPE', value: () => 'local' },
      Mountpoint: { heading: 'MOUNTPOINT', value: (volume) => volumeDirectory(store, volume) },
      Labels: {
        heading: 'LABELS',
        value: ({ labels }) =>
          Object.keys(labels)
            .toSorted()
            .map((key) => `${key}=${labels[key]}`)
            .join(','),
      },
      Links: {
        heading: 'LINKS',
        value: ({ name }) => (users === undefined ? 'N/A' : String(users.get(name)?.length ?? 0)),
      },
      Size: {
        heading: 'SIZE',
        value: (volume) => (isMeasured ? formatByteSize(volumeSize(store, volume), 3) : 'N/A'),
      },
      Availability: { heading: 'AVAILABILITY', value: () => 'N/A' },
      Group: { heading: 'GROUP', value: () => 'N/A' },
      Status: { heading: 'STATUS', value: () => 'N/A' },
    },
    shown: isMeasured ? ['Name', 'Links', 'Size'] : ['Driver', 'Name'],
    labels: ({ labels }) => labels,
  }
}

import { parseContainerName } from '../../containers/container-name.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { renameContainerRecord, resolveContainer } from '../../containers/container-records.ts'
import { checkNameFree } from '../../containers/create-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'

/** Gives a container another name. Throws CONTAINER_UNKNOWN, NAME_IN_USE, CONFIG_INVALID, in docker's words. */
export function renameContainer(store: Store, name: string, wanted: string): void {
  recoverContainers(store)
  if (name.trim() === '' || wanted.trim() === '') throw usageError('Neither old nor new names may be empty')
  const container = resolveContainer(store, name)
  store.database.transaction(() => {
    if (wanted.replace(/^\//, '') === container.name)
      throw new CairnError('CONFIG_INVALID', 'Renaming a container with the same name as its current name')
    const newName = allocate(store, wanted)
    renameContainerRecord(store, container.id, newName)
    recordContainerEvent(store, 'rename', { ...container, name: newName }, { oldName: `/${container.name}` })
  })
}

function allocate(store: Store, wanted: string): string {
  try {
    const name = parseContainerName(wanted.startsWith('/') ? wanted : `/${wanted}`)
    checkNameFree(store, name)
    return name
  } catch (error) {
    if (!isCairnError(error)) throw error
    const code = error.code === 'NAME_IN_USE' ? error.code : 'CONFIG_INVALID'
    throw new CairnError(code, `Error when allocating new name: ${error.message}`)
  }
}

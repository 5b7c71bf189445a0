import type { Store } from '../content/store.ts'
import { type ProcessIdentity, processStatus } from '../linux/processes.ts'
import { withHostCgroups } from '../runtime/cgroups.ts'
import { controlFile } from '../runtime/monitor.ts'
import type { Container, ContainerRun } from './container.ts'
import { containerDirectory, logPath } from './places.ts'

/**
 * The program that begins a new file when a log has reached its size and several are to be kept; conmon would keep none but
 * the new one. A shell, as what looks after a container's health is one. It waits until tail(1) has seen so many bytes,
 * which costs nothing while nothing is written; then it renames the files and has conmon, which goes on writing to the
 * renamed one until then, open a new one. So no line is lost, also when this is killed at any moment: a log without its
 * newest file is what the next one finds first, and that waits for the lock which all processes of this one hold. What is left
 * of a killed one changes files once more and ends, at the latest with the monitor. tail(1) ends when it goes on with the new
 * file, since nobody reads from it.
 */
const script = `
log=$1 size=$2 files=$3 control=$4 monitor=$5 start_time=$6
alive() {
  read -r line < "/proc/$monitor/stat" || return 1
  set -- \${line##*) }
  [ "\${20}" = "$start_time" ] && [ "$1" != Z ] && [ "$1" != X ]
} 2>/dev/null
reopen() {
  echo 2 0 0 1<> "$control"
  until [ -e "$log" ] || ! alive; do sleep 0.01; done
}
rotate() {
  number=$((files - 1))
  while [ "$number" -gt 1 ]; do
    [ ! -e "$log.$((number - 1))" ] || mv -f "$log.$((number - 1))" "$log.$number"
    number=$((number - 1))
  done
  mv -f "$log" "$log.1"
  reopen
}
exec 9> "$log.lock"
flock 9 || exit
while alive; do
  if [ ! -e "$log" ]; then reopen
  elif [ "$(wc -c < "$log")" -ge "$size" ]; then rotate
  else
    # A tail(1) without --pid ends at once.
    tail -c +1 -F -s 1 "--pid=$monitor" "$log" | {
      head -c "$size" > /dev/null
      [ "$(wc -c < "$log")" -ge "$size" ] && rotate
    } || sleep 1
  fi
done
`

/** Begins to look after the size of a container's log, where several files of it are to be kept. */
export function watchLogSize(
  store: Store,
  { id, settings }: Pick<Container, 'id' | 'settings'>,
  { monitor }: Pick<ContainerRun, 'monitor'>,
): ProcessIdentity | undefined {
  const { maxSize, maxFiles = 1 } = settings.log ?? {}
  if (maxSize === undefined || maxFiles < 2) return undefined
  const control = `${containerDirectory(store, id)}/${controlFile}`
  const watched = [String(monitor.pid), String(monitor.startTime)]
  const words = [logPath(store, id), String(maxSize), String(maxFiles), control, ...watched]
  const child = withHostCgroups(() =>
    Bun.spawn(['/bin/sh', '-c', script, 'sh', ...words], {
      stdio: ['ignore', 'ignore', 'ignore'],
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      detached: true,
    }),
  )
  child.unref()
  const status = processStatus(child.pid)
  return status === undefined ? undefined : { pid: child.pid, startTime: status.startTime }
}

import type { Store } from '../content/store.ts'
import { listDirectory } from '../linux/directories.ts'
import { makeDirectories } from '../linux/names.ts'
import { isRunning, type ProcessIdentity, processStatus } from '../linux/processes.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { tryStat } from '../linux/file-status.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import type { Healthcheck } from '../oci/config.ts'
import { withHostCgroups } from '../runtime/cgroups.ts'
import { type Container, type ContainerRun, isActive } from './container.ts'
import { execProcess } from './exec-process.ts'
import { ownCommand } from './own-command.ts'
import { containerDirectory, monitoredRoot } from './places.ts'

/** What is known about a container's health; docker's words. */
export interface Health {
  readonly status: 'starting' | 'healthy' | 'unhealthy'
  readonly failingStreak: number
  /** The last checks, the oldest first. */
  readonly log: readonly HealthResult[]
}

export interface HealthResult {
  /** Seconds since 1970. */
  readonly start: number
  readonly end: number
  /** -1 where it took too long. */
  readonly exitCode: number
  readonly output: string
}

const second = 1e9
/** docker's, in nanoseconds. */
const defaults = { interval: 30 * second, timeout: 30 * second, startInterval: 5 * second, retries: 3 }
/** How many results are kept, and how many bytes of what a check writes. */
const keptResults = 5
const keptOutput = 4096

/** The check of a container; undefined where it has none. */
export function healthcheckOf({ settings }: Pick<Container, 'settings'>): Healthcheck | undefined {
  const check = settings.config.Healthcheck
  const [kind] = check?.Test ?? []
  return check == null || kind === undefined || kind === 'NONE' ? undefined : check
}

/**
 * The program that looks after a container's health: a shell, since it is there as long as the container and a shell
 * takes less than a megabyte. It runs the check by the OCI runtime, keeps the last results as files and calls Cairn only
 * when the status changes. It ends with the container's first process.
 *
 * Files of its directory: `status` holds the status and the failing streak, `<number>.result` start, end and exit status
 * of a check, `<number>.output` what it wrote.
 */
const script = `
directory=$1 interval=$2 timeout=$3 retries=$4 start_period=$5 start_interval=$6 init=$7 start_time=$8 callback=$9
shift 9
alive() {
  read -r line < "/proc/$init/stat" || return 1
  set -- \${line##*) }
  [ "\${20}" = "$start_time" ] && [ "$1" != Z ] && [ "$1" != X ]
} 2>/dev/null
put() { printf '%s\\n' "$2" > "$directory/$1.new" && mv -f "$directory/$1.new" "$directory/$1"; }
status=starting streak=0 number=0 began=$(date +%s)
[ ! -e "$directory/status" ] || { read -r status streak < "$directory/status"; }
for old in "$directory"/*.result; do
  old=\${old##*/}; old=\${old%.result}
  case $old in *[!0-9]*) ;; *) [ "$old" -le "$number" ] || number=$old ;; esac
done
while alive; do
  pause=$interval
  [ "$status" != starting ] || [ $(($(date +%s) - began)) -ge "$start_period" ] || pause=$start_interval
  sleep "$pause"
  alive || exit 0
  number=$((number + 1))
  start=$(date +%s.%N)
  timeout -k 1 "$timeout" "$@" > "$directory/all" 2>&1 < /dev/null
  code=$?
  head -c ${keptOutput} "$directory/all" > "$directory/$number.output"
  if [ "$code" = 124 ] || [ "$code" = 137 ]; then
    code=-1
    printf 'Health check exceeded timeout (%ss)' "$timeout" > "$directory/$number.output"
  fi
  alive || exit 0
  put "$number.result" "$start $(date +%s.%N) $code"
  rm -f "$directory/$((number - ${keptResults})).result" "$directory/$((number - ${keptResults})).output"
  before=$status
  if [ "$code" = 0 ]; then
    status=healthy streak=0
  elif [ "$status" != starting ] || [ $(($(date +%s) - began)) -ge "$start_period" ]; then
    streak=$((streak + 1))
    [ "$streak" -lt "$retries" ] || status=unhealthy
  fi
  put status "$status $streak"
  [ "$status" = "$before" ] || eval "$callback" < /dev/null > /dev/null 2>&1
done
`

function healthDirectory(store: Store, id: string): string {
  return `${containerDirectory(store, id)}/health`
}

/**
 * Begins to look after the health of a container that runs, where it has a check. `isNew` forgets what was found in an
 * earlier run. Throws USER_UNKNOWN.
 */
export function watchHealth(
  store: Store,
  container: Container,
  { init, runtime }: Pick<ContainerRun, 'init' | 'runtime'>,
  isNew: boolean,
): ProcessIdentity | undefined {
  const { id } = container
  const directory = healthDirectory(store, id)
  if (isNew) removeTree(directory)
  const check = healthcheckOf(container)
  if (check === undefined) return undefined
  makeDirectories(directory, 0o700)
  const request = { command: commandOf(container, check), env: [], privileged: false, tty: false }
  try {
    writeTextFile(`${directory}/process.json`, JSON.stringify(execProcess(container, init.pid, request)))
  } catch (error) {
    // It may have ended already.
    if (isRunning(init)) throw error
    return undefined
  }
  const callback = ownCommand(store, 'container', 'health-changed', id).map(quoted).join(' ')
  const root = monitoredRoot(store, runtime.name)
  const times = [
    seconds(check.Interval, defaults.interval),
    seconds(check.Timeout, defaults.timeout),
    String(check.Retries || defaults.retries),
    String(Math.ceil((check.StartPeriod ?? 0) / second)),
    seconds(check.StartInterval, defaults.startInterval),
  ]
  const exec = [runtime.path, '--root', root, 'exec', '--process', `${directory}/process.json`, id]
  const watched = [String(init.pid), String(init.startTime)]
  const command = ['/bin/sh', '-c', script, 'sh', directory, ...times, ...watched, callback, ...exec]
  const child = withHostCgroups(() =>
    Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/', detached: true }),
  )
  child.unref()
  const status = processStatus(child.pid)
  return status === undefined ? undefined : { pid: child.pid, startTime: status.startTime }
}

function commandOf({ settings }: Container, { Test: test = [] }: Healthcheck): readonly string[] {
  const [kind, ...words] = test
  if (kind !== 'CMD-SHELL') return words
  const shell = settings.config.Shell
  return [...(shell == null || shell.length === 0 ? ['/bin/sh', '-c'] : shell), words.join(' ')]
}

function seconds(nanoseconds: number | undefined, byDefault: number): string {
  return ((nanoseconds === undefined || nanoseconds === 0 ? byDefault : nanoseconds) / second).toString()
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** What was found; undefined for a container without a check or that never ran. */
export function healthOf(store: Store, container: Container): Health | undefined {
  if (healthcheckOf(container) === undefined || container.startedAt === null) return undefined
  const directory = healthDirectory(store, container.id)
  const [status = 'starting', streak = '0'] = (readTextFile(`${directory}/status`) ?? '').trim().split(' ')
  const known = status === 'healthy' || status === 'unhealthy' ? status : 'starting'
  // One that does not run is not healthy, whatever it was.
  return {
    status: isActive(container) ? known : 'unhealthy',
    failingStreak: Number(streak) || 0,
    log: resultsIn(directory),
  }
}

function resultsIn(directory: string): HealthResult[] {
  if (tryStat(directory) === undefined) return []
  return listDirectory(directory)
    .flatMap(({ name }) => (/^\d+\.result$/.test(name) ? [Number.parseInt(name, 10)] : []))
    .toSorted((a, b) => a - b)
    .slice(-keptResults)
    .flatMap((number) => {
      const [start, end, exitCode] = (readTextFile(`${directory}/${number}.result`) ?? '').trim().split(' ').map(Number)
      if (start === undefined || end === undefined || exitCode === undefined) return []
      return [{ start, end, exitCode, output: readTextFile(`${directory}/${number}.output`) ?? '' }]
    })
}

import type { Subprocess } from 'bun'

/**
 * Ends the containers of a Cairn process that was killed: a shell in a session of its own waits on a pipe that only this
 * process holds open, and when the pipe breaks kills what was registered. One for the whole process, started with the
 * first container and while that starts (1 ms of another core).
 *
 * The kernel's parent-death signal would not do: it ends with the runtime's process and does not reach the container's.
 * A container's init is killed only if its parent is the runtime process that was registered for it, so a number that
 * was given to another process since does no harm. Where the init is not known yet, it is waited for.
 */
const script = `
while read -r change runtime state; do
  case $change in
    +) list="$list $runtime:$state" ;;
    -) kept=; for entry in $list; do [ "$entry" = "$runtime:$state" ] || kept="$kept $entry"; done; list=$kept ;;
  esac
done
kill_init() {
  runtime=\${1%%:*} state=\${1#*:}
  text=$(cat "$state/status" 2>/dev/null || head -c 400 "$state/state.json" 2>/dev/null) || return 1
  init=$(printf %s "$text" | tr -d ' \\n' | sed -n 's/.*"\\(pid\\|init_process_pid\\)":\\([0-9]*\\).*/\\2/p')
  [ -n "$init" ] || return 1
  read -r line < "/proc/$init/stat" || return 0
  set -- \${line##*) }
  [ "$2" != "$runtime" ] || kill -9 "$init"
}
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  left=
  for entry in $list; do kill_init "$entry" 2>/dev/null || left="$left $entry"; done
  list=$left
  [ -n "$list" ] || exit 0
  sleep 0.1
done
`

let guard: Subprocess<'pipe', 'ignore', 'ignore'> | undefined

/** Kills the container when this process dies before the returned function is called. Paths must hold no white space. */
export function guardContainer(runtimePid: number, stateDirectory: string): () => void {
  if (/\s/.test(stateDirectory)) return () => {}
  if (guard === undefined || guard.exitCode !== null || guard.signalCode !== null) guard = startGuard()
  const current = guard
  tell(current, `+ ${runtimePid} ${stateDirectory}\n`)
  return () => tell(current, `- ${runtimePid} ${stateDirectory}\n`)
}

function startGuard(): typeof guard {
  try {
    const started = Bun.spawn(['/bin/sh', '-c', script], {
      stdin: 'pipe',
      stdout: 'ignore',
      stderr: 'ignore',
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      detached: true,
    })
    started.unref()
    return started
  } catch {
    // Without a shell there is still reapAbandoned() of the next command.
    return undefined
  }
}

function tell(receiver: typeof guard, line: string): void {
  if (receiver === undefined || receiver.exitCode !== null) return
  void receiver.stdin.write(line)
  void receiver.stdin.flush()
}

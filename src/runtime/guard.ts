import type { Subprocess } from 'bun'

/**
 * Ends the containers of a Cairn process that was killed: a shell in a session of its own waits on a pipe that only this
 * process holds open, and when the pipe breaks kills what was registered. One for the whole process, started before its
 * first container (1 ms).
 *
 * The kernel's parent-death signal would not do: it ends with the runtime's process and does not reach the container's.
 * A container's init is killed only if its parent was called with the state directory of this very process, so a number
 * that was given to another process since does no harm. Where the init is not known yet, it is waited for: two seconds
 * for the runtime to begin, and then as long as that runs, for a start can take long on a busy machine.
 */
const script = `
while read -r change state; do
  case $change in
    +) list="$list $state" ;;
    -) kept=; for entry in $list; do [ "$entry" = "$state" ] || kept="$kept $entry"; done; list=$kept ;;
  esac
done
kill_init() {
  text=$(cat "$1/status" 2>/dev/null || head -c 400 "$1/state.json" 2>/dev/null) || return 1
  init=$(printf %s "$text" | tr -d ' \\n' | sed -n 's/.*"\\(pid\\|init_process_pid\\)":\\([0-9]*\\).*/\\2/p')
  [ -n "$init" ] || return 1
  root=\${1%/*}
  read -r line < "/proc/$init/stat" || return 0
  set -- \${line##*) }
  grep -qF -- "$root" "/proc/$2/cmdline" && kill -9 "$init"
  return 0
}
is_starting() {
  for entry in $list; do ! grep -qsF -- "\${entry%/*}" /proc/[0-9]*/cmdline || return 0; done
  return 1
}
attempt=0
while [ $attempt -lt 600 ]; do
  left=
  for entry in $list; do kill_init "$entry" 2>/dev/null || left="$left $entry"; done
  list=$left
  [ -n "$list" ] || exit 0
  [ $attempt -lt 20 ] || is_starting || exit 0
  attempt=$((attempt + 1))
  sleep 0.1
done
`

let guard: Subprocess<'pipe', 'ignore', 'ignore'> | undefined

/**
 * Kills the container when this process dies before the returned function is called. To be called before the runtime is
 * started, whose arguments name the parent of `stateDirectory`. Paths must hold no white space.
 */
export function guardContainer(stateDirectory: string): () => void {
  if (/\s/.test(stateDirectory)) return () => {}
  if (guard === undefined || guard.exitCode !== null || guard.signalCode !== null) guard = startGuard()
  const current = guard
  tell(current, `+ ${stateDirectory}\n`)
  return () => tell(current, `- ${stateDirectory}\n`)
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

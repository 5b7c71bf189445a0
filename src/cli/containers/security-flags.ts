import type { ContainerRequest } from '../../containers/settings.ts'
import { parseGoBool } from '../../dockerfile/go-bool.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { parseSeccompProfile } from '../../runtime/seccomp-profile.ts'

type SecuritySettings = Pick<
  ContainerRequest,
  'seccomp' | 'seccompProfile' | 'apparmorProfile' | 'noNewPrivileges' | 'unmasked' | 'writableCgroups'
>

/** Nothing is confined by SELinux here, so these say what is so already. */
const harmless = new Set(['label=disable', 'label:disable', 'systempaths=confined'])

/**
 * `--security-opt`. A profile of system calls is read now, so that the container keeps it whatever becomes of the file.
 * Texts of errors are docker's. Throws USAGE, CONFIG_INVALID, FILE_UNKNOWN, NOT_SUPPORTED.
 */
export function parseSecurityOptions(options: readonly string[], cwd: string): SecuritySettings {
  const settings: { -readonly [Key in keyof SecuritySettings]: SecuritySettings[Key] } = {
    seccomp: 'default',
    noNewPrivileges: false,
  }
  for (const option of options) {
    const [, key = '', value] = /^([^=:]*)(?:[=:](.*))?$/s.exec(option) ?? []
    if (key === 'no-new-privileges' && (value === undefined || /^(?:true|false)$/.test(value)))
      settings.noNewPrivileges = value !== 'false'
    else if (value === undefined) throw new CairnError('USAGE', `Invalid --security-opt: ${JSON.stringify(option)}`)
    else if (key === 'seccomp') Object.assign(settings, seccompSettings(value, cwd))
    else if (key === 'apparmor') Object.assign(settings, apparmorSettings(value))
    else if (key === 'systempaths' && value === 'unconfined') settings.unmasked = true
    else if (key === 'writable-cgroups') Object.assign(settings, cgroupSettings(option, value))
    else if (key === 'label' || key === 'systempaths') {
      if (!harmless.has(option)) throw new CairnError('NOT_SUPPORTED', `--security-opt ${option} is not supported`)
    } else throw new CairnError('CONFIG_INVALID', `invalid --security-opt 2: ${JSON.stringify(option)}`)
  }
  return settings
}

function cgroupSettings(option: string, value: string): Partial<SecuritySettings> {
  const writableCgroups = parseGoBool(value)
  if (writableCgroups !== undefined) return writableCgroups ? { writableCgroups } : {}
  throw new CairnError('CONFIG_INVALID', `invalid --security-opt 2: ${JSON.stringify(option)}`)
}

function seccompSettings(value: string, cwd: string): Partial<SecuritySettings> {
  if (value === 'unconfined' || value === 'builtin') return { seccomp: value === 'builtin' ? 'default' : value }
  const text = readTextFile(value.startsWith('/') ? value : `${cwd}/${value}`)
  if (text === undefined)
    throw new CairnError(
      'FILE_UNKNOWN',
      `opening seccomp profile (${value}) failed: open ${value}: no such file or directory`,
    )
  return { seccompProfile: JSON.stringify(parseSeccompProfile(text)) }
}

/** Whoever names a profile means to be confined by it: on a machine without AppArmor that cannot be. */
function apparmorSettings(value: string): Partial<SecuritySettings> {
  if (value === 'unconfined') return {}
  if (tryStat('/sys/kernel/security/apparmor') === undefined)
    throw new CairnError('NOT_SUPPORTED', `AppArmor is not enabled on this machine: --security-opt apparmor=${value}`)
  return { apparmorProfile: value }
}

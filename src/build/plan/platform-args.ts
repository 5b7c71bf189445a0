import { formatPlatform, type Platform } from '../../oci/platform.ts'

/** ARGs that exist in every Dockerfile without a declaration outside stages: BUILD* and TARGET*. */
export function platformArguments(build: Platform, target: Platform, targetStage: string): Map<string, string> {
  return new Map([
    ['BUILDPLATFORM', formatPlatform(build)],
    ['BUILDOS', build.os],
    ['BUILDOSVERSION', build['os.version'] ?? ''],
    ['BUILDARCH', build.architecture],
    ['BUILDVARIANT', build.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(target)],
    ['TARGETOS', target.os],
    ['TARGETOSVERSION', target['os.version'] ?? ''],
    ['TARGETARCH', target.architecture],
    ['TARGETVARIANT', target.variant ?? ''],
    ['TARGETSTAGE', targetStage],
  ])
}

const proxyNames = new Set(['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy'])

/** True for the proxy build-args, in any case of letters. */
function isProxyArgument(name: string): boolean {
  return proxyNames.has(name.toLowerCase())
}

/** Proxy settings among the build-args, under both spellings that programs look for. */
export function proxyEnvironment(buildArgs: ReadonlyMap<string, string>): Map<string, string> {
  const env = new Map<string, string>()
  for (const [key, value] of buildArgs) {
    if (!isProxyArgument(key)) continue
    env.set(key.toUpperCase(), value)
    env.set(key.toLowerCase(), value)
  }
  return env
}

/** ARGs that steer the builder and never reach a process's environment. */
export const builderOnlyArguments: ReadonlySet<string> = new Set([
  'BUILDKIT_SBOM_SCAN_CONTEXT',
  'BUILDKIT_SBOM_SCAN_STAGE',
])

/** `--build-arg`s that the builder reads itself, so that they never count as "not consumed". */
export function isBuilderArgument(name: string): boolean {
  return name.startsWith('BUILDKIT_') || name === 'SOURCE_DATE_EPOCH' || isProxyArgument(name)
}

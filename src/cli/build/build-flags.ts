import { displayModes } from '../../progress/create-display.ts'
import type { FlagDefinition, FlagDefinitions } from '../flags.ts'

/** Values of `--provenance` and `--sbom` that may be a word of their own, as with docker. */
const attestation = /^(?:true|false|[01]|[a-z][a-z-]*=.*)$/

/** What docker took before BuildKit and takes since without effect: a script that has it builds, and is told. */
const withoutEffect = {
  hidden: true,
  deprecated: 'it has no effect',
  summary: '',
} as const satisfies Partial<FlagDefinition>

/** The flags of `build`, in the order of their names. */
export const buildFlags = {
  'add-host': { type: 'stringArray', summary: 'Add a custom host-to-IP mapping (format: "host:ip")' },
  'all-stages': { type: 'bool', summary: 'Build every stage of the Dockerfile, not only those the target needs' },
  allow: { type: 'stringArray', summary: 'Allow extra privileged entitlement (e.g., "network.host")' },
  annotation: {
    type: 'stringArray',
    summary: 'Add annotation to the image (format: "[manifest|manifest-descriptor[PLATFORM]:]KEY=VALUE")',
  },
  attest: {
    type: 'stringArray',
    summary: 'Attestation parameters (format: "type=sbom", "type=provenance,mode=max[,store=referrers]")',
  },
  'build-arg': { type: 'stringArray', summary: 'Set build-time variables' },
  'build-context': {
    type: 'stringArray',
    value: 'NAME=VALUE',
    summary: 'Additional build contexts (e.g., name=path, alpine=docker-image://debian, base=oci-layout://dir)',
  },
  builder: { type: 'string', hidden: true, summary: 'The builder instance, of which there is one' },
  'cache-from': {
    type: 'stringArray',
    summary:
      'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir", "type=s3,bucket=ci,region=eu-west-1", "type=gha")',
  },
  'cache-to': {
    type: 'stringArray',
    summary:
      'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir", "type=s3,bucket=ci,region=eu-west-1", "type=gha")',
  },
  call: {
    type: 'string',
    default: 'build',
    complete: ['build', 'check', 'outline', 'targets', 'subrequests.describe'],
    summary: 'Set method for evaluating build ("check", "outline", "targets"), with ",format=json" for JSON',
  },
  'cgroup-parent': { type: 'string', summary: 'Set the parent cgroup for the "RUN" instructions during build' },
  check: { type: 'bool', summary: 'Shorthand for "--call=check"' },
  compress: { ...withoutEffect, type: 'bool' },
  'cpu-period': { ...withoutEffect, type: 'int' },
  'cpu-quota': { ...withoutEffect, type: 'int' },
  'cpu-shares': { ...withoutEffect, type: 'int', short: 'c' },
  'cpuset-cpus': { ...withoutEffect, type: 'string' },
  'cpuset-mems': { ...withoutEffect, type: 'string' },
  explain: {
    type: 'bool',
    summary: 'Say of every step whether it came from the cache, why not, and what to do about it',
  },
  'fail-on-miss': { type: 'bool', summary: 'Fail where a step is not in the cache instead of running it' },
  file: {
    type: 'string',
    short: 'f',
    complete: 'file',
    summary: 'Name of the Dockerfile (default: "PATH/Dockerfile")',
  },
  'force-rm': { type: 'bool', hidden: true, summary: 'Always remove intermediate containers; there are none' },
  iidfile: { type: 'string', complete: 'file', summary: 'Write the image ID to a file' },
  isolation: { ...withoutEffect, type: 'string' },
  label: { type: 'stringArray', summary: 'Set metadata for an image' },
  load: { type: 'bool', summary: 'Shorthand for "--output=type=docker": keep the image in the store' },
  lock: {
    type: 'string',
    complete: 'file',
    value: 'FILE',
    summary: 'Take base images, remote files and repositories as this lock file says; write it where there is none',
  },
  memory: { ...withoutEffect, type: 'bytes', short: 'm' },
  'memory-swap': { ...withoutEffect, type: 'string' },
  'metadata-file': { type: 'string', complete: 'file', summary: 'Write build result metadata to a file' },
  network: {
    type: 'string',
    default: 'default',
    oneOf: ['default', 'none', 'host'],
    summary: 'Set the networking mode for the "RUN" instructions during build',
  },
  'no-cache': { type: 'bool', summary: 'Do not use cache when building the image' },
  'no-cache-filter': { type: 'stringSlice', summary: 'Do not cache specified stages' },
  'on-error': {
    type: 'string',
    oneOf: ['shell'],
    summary: 'What to do when a "RUN" instruction fails: "shell" opens a shell in its container',
  },
  output: {
    type: 'stringArray',
    short: 'o',
    complete: 'directory',
    summary: 'Output destination (format: "type=local,dest=path"; types: image, registry, oci, docker, tar, local)',
  },
  platform: { type: 'stringSlice', summary: 'Set target platform for build' },
  progress: {
    type: 'string',
    complete: displayModes,
    summary:
      'Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output (default "auto")',
  },
  provenance: {
    type: 'string',
    bare: 'true',
    detached: attestation,
    summary: 'Shorthand for "--attest=type=provenance"',
  },
  pull: { type: 'bool', summary: 'Always attempt to pull all referenced images' },
  push: { type: 'bool', summary: 'Shorthand for "--output=type=registry"' },
  quiet: { type: 'bool', short: 'q', summary: 'Suppress the build output and print image ID on success' },
  rm: { type: 'bool', default: true, hidden: true, summary: 'Remove intermediate containers; there are none' },
  sbom: { type: 'string', bare: 'true', detached: attestation, summary: 'Shorthand for "--attest=type=sbom"' },
  secret: {
    type: 'stringArray',
    summary: 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret][,cache=key]")',
  },
  'security-opt': { ...withoutEffect, type: 'stringArray' },
  'shm-size': { type: 'bytes', summary: 'Shared memory size for build containers' },
  ssh: {
    type: 'stringArray',
    summary: 'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")',
  },
  squash: { type: 'bool', summary: 'Squash newly built layers into a single new layer' },
  tag: { type: 'stringArray', short: 't', summary: 'Image identifier (format: "[registry/]repository[:tag]")' },
  target: { type: 'string', summary: 'Set the target build stage to build' },
  timestamps: {
    type: 'string',
    oneOf: ['fixed', 'real'],
    summary:
      'Times of what the build makes: "fixed" gives the same image whenever it is built, "real" is when it was made (default "fixed", or CAIRN_TIMESTAMPS)',
  },
  ulimit: { type: 'stringArray', summary: 'Ulimit options' },
  'update-lock': { type: 'bool', summary: 'Write what sources are now to the lock file' },
  'verify-reproducible': {
    type: 'bool',
    summary: 'Build a second time apart, compare, and end with status 1 where the result is another one',
  },
} as const satisfies FlagDefinitions

/** What kind of failure a code is: decides the exit status and, in the API, the HTTP status. */
export type ErrorKind =
  | 'usage' // the command line is wrong
  | 'invalid' // input (file, reference, archive, Dockerfile) is wrong
  | 'not-found'
  | 'conflict' // the state forbids it: name in use, image in use
  | 'data-loss' // bytes are not what their digest or size says
  | 'forbidden' // permission, policy
  | 'unsupported' // Cairn or this machine cannot do it
  | 'unavailable' // something outside did not answer: network, registry, lock
  | 'exhausted' // disk, memory, a configured cap
  | 'step-failed' // a RUN step or a container ended with a status
  | 'canceled' // Ctrl-C

/** Every code, with its kind. Codes of a specification keep that specification's name. */
const kinds = {
  // command line
  USAGE: 'usage',
  // oci
  DIGEST_INVALID: 'invalid',
  REFERENCE_INVALID: 'invalid',
  PLATFORM_INVALID: 'invalid',
  MANIFEST_INVALID: 'invalid',
  CONFIG_INVALID: 'invalid',
  // content
  BLOB_UNKNOWN: 'not-found',
  BLOB_CORRUPT: 'data-loss',
  STORE_UNUSABLE: 'unavailable',
  STORE_VERSION: 'unsupported',
  STORE_BUSY: 'unavailable',
  DISK_FULL: 'exhausted',
  // images
  IMAGE_UNKNOWN: 'not-found',
  IMAGE_AMBIGUOUS: 'invalid',
  IMAGE_IN_USE: 'conflict',
  IMAGE_PLATFORM: 'not-found',
  IMAGE_UNRELATED: 'conflict',
  ARCHIVE_INVALID: 'invalid',
  ATTESTATION_UNKNOWN: 'not-found',
  SIGNATURE_UNKNOWN: 'not-found',
  SIGNATURE_INVALID: 'forbidden',
  KEY_INVALID: 'invalid',
  // tar, layers
  TAR_INVALID: 'invalid',
  COMPRESSION_INVALID: 'invalid',
  LAYER_UNSAFE: 'invalid',
  LIMIT_EXCEEDED: 'exhausted',
  // linux
  SYSTEM_CALL: 'unavailable',
  FILE_UNKNOWN: 'not-found',
  PERMISSION_DENIED: 'forbidden',
  FILE_CHANGED: 'conflict',
  // dockerfile
  DOCKERFILE_INVALID: 'invalid',
  DOCKERFILE_UNKNOWN: 'not-found',
  IGNORE_INVALID: 'invalid',
  WORD_INVALID: 'invalid',
  // build
  CONTEXT_INVALID: 'invalid',
  CONTEXT_PATH_UNKNOWN: 'not-found',
  STAGE_UNKNOWN: 'not-found',
  STEP_FAILED: 'step-failed',
  STEP_INVALID: 'invalid',
  CACHE_MISS: 'conflict',
  CACHE_UNKNOWN: 'not-found',
  CACHE_AMBIGUOUS: 'invalid',
  CACHE_IN_USE: 'conflict',
  CACHE_INVALID: 'invalid',
  RECORD_UNKNOWN: 'not-found',
  RECORD_AMBIGUOUS: 'invalid',
  RECORD_INVALID: 'invalid',
  RECORD_IN_USE: 'conflict',
  TRACE_REFUSED: 'unavailable',
  // runtime, containers
  RUNTIME_MISSING: 'unsupported',
  EMULATOR_MISSING: 'unsupported',
  RUNTIME_FAILED: 'unavailable',
  OVERLAY_UNSUPPORTED: 'unsupported',
  NOT_ROOT: 'forbidden',
  NAME_IN_USE: 'conflict',
  VOLUME_UNKNOWN: 'not-found',
  VOLUME_IN_USE: 'conflict',
  NETWORK_UNKNOWN: 'not-found',
  NETWORK_AMBIGUOUS: 'invalid',
  NETWORK_IN_USE: 'conflict',
  PORT_IN_USE: 'conflict',
  CONTAINER_UNKNOWN: 'not-found',
  CONTAINER_AMBIGUOUS: 'invalid',
  CONTAINER_RUNNING: 'conflict',
  CONTAINER_STOPPED: 'conflict',
  CONTAINER_STATE: 'conflict',
  COMMAND_NOT_EXECUTABLE: 'invalid',
  COMMAND_NOT_FOUND: 'not-found',
  USER_UNKNOWN: 'not-found',
  // registry
  UNAUTHORIZED: 'forbidden',
  DENIED: 'forbidden',
  NAME_UNKNOWN: 'not-found',
  MANIFEST_UNKNOWN: 'not-found',
  TOOMANYREQUESTS: 'unavailable',
  REGISTRY_BLOCKED: 'forbidden',
  REGISTRY_FAILED: 'unavailable',
  REGISTRY_INVALID: 'invalid',
  CREDENTIALS_INVALID: 'invalid',
  TLS_UNTRUSTED: 'forbidden',
  TLS_EXPECTED: 'unavailable',
  HOST_UNKNOWN: 'unavailable',
  CONNECTION_REFUSED: 'unavailable',
  // remote
  REVISION_UNKNOWN: 'not-found',
  LOCKFILE_INVALID: 'invalid',
  LOCKFILE_MISMATCH: 'conflict',
  // bootstrap
  TOOL_MISSING: 'unsupported',
  TOOL_FAILED: 'unavailable',
  // everything else
  NOT_SUPPORTED: 'unsupported',
  NETWORK: 'unavailable',
  CANCELED: 'canceled',
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof kinds

/** The kind of a code. */
export function kindOf(code: ErrorCode): ErrorKind {
  return kinds[code]
}

import type { FileAspect } from '../layers/trees/compare-trees.ts'
import type { ByteDifference } from './byte-difference.ts'

/** What probably makes a file differ from build to build, and what to do about it. */
export interface DifferenceCause {
  readonly cause: string
  readonly advice: string
}

/** A file that two builds of one step made otherwise. */
export interface DifferingFile {
  /** Absolute. */
  readonly path: string
  /** `missing`: only one of the two has it. */
  readonly aspect: FileAspect | 'missing'
  /** Where the bytes differ, for the aspect `content`. */
  readonly bytes: ByteDifference | undefined
  /** The first bytes of the file, where it is one. */
  readonly head: Uint8Array
  /** Whether the two files hold the same lines in another order. */
  readonly isReordered: boolean
}

interface Rule extends DifferenceCause {
  readonly matches: (file: DifferingFile) => boolean
}

/** A file that is known to differ in what it holds, or in being there. */
const path =
  (pattern: RegExp) =>
  (file: DifferingFile): boolean =>
    pattern.test(file.path) && (file.aspect === 'content' || file.aspect === 'missing')

const starts =
  (...magic: readonly number[]) =>
  ({ head, aspect }: DifferingFile): boolean =>
    aspect === 'content' && magic.every((byte, index) => head[index] === byte)

const aspect =
  (wanted: DifferingFile['aspect']) =>
  (file: DifferingFile): boolean =>
    file.aspect === wanted

/** True where both texts have something of the pattern at the difference. */
const text =
  (pattern: RegExp) =>
  ({ bytes }: DifferingFile): boolean =>
    bytes !== undefined && [bytes.from, bytes.to].every((some) => pattern.test(Buffer.from(some).toString('latin1')))

/** The first that matches is told: known files, kinds of files, then what the bytes look like. */
const rules: readonly Rule[] = [
  {
    matches: path(/^\/var\/log\/|\/_logs\/|\.log$/),
    cause: 'a log says when things were done',
    advice: 'remove it in the same RUN, for example rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log',
  },
  {
    matches: path(/^\/var\/cache\/ldconfig\/aux-cache$/),
    cause: 'ldconfig notes inode numbers and times of libraries',
    advice: 'rm -f /var/cache/ldconfig/aux-cache in the same RUN; it is made again when it is needed',
  },
  {
    matches: path(/^\/var\/cache\/apt\/(?:src)?pkgcache\.bin$/),
    cause: "apt's cache of its lists holds times and addresses",
    advice: 'run apt-get clean, or rm -f /var/cache/apt/*.bin, in the same RUN',
  },
  {
    matches: path(/^\/var\/lib\/apt\/(?:lists|periodic)\//),
    cause: 'apt lists are those of the moment',
    advice: 'rm -rf /var/lib/apt/lists/* in the same RUN, or keep them in a RUN --mount=type=cache,target=/var/lib/apt',
  },
  {
    matches: path(/\.py[co]$|\/__pycache__(?:\/|$)/),
    cause: 'compiled Python holds the time of its source where times are real, or its strings came in another order',
    advice: 'ENV PYTHONDONTWRITEBYTECODE=1, or ENV PYTHONHASHSEED=0 and --timestamps fixed',
  },
  {
    matches: path(/^\/etc\/machine-id$|^\/var\/lib\/dbus\/machine-id$/),
    cause: 'a machine ID is random',
    advice: 'empty it at the end of the RUN: : > /etc/machine-id',
  },
  {
    matches: path(/^\/etc\/ssh\/ssh_host_|\/(?:snakeoil|ssl-cert)|\.(?:key|pem|crt)$/),
    cause: 'a key or certificate was made by the build, which is random',
    advice: 'remove it in the same RUN and make it when the container starts; a key in an image is no secret either',
  },
  {
    matches: path(/^\/etc\/(?:shadow|passwd|group|gshadow)-?$/),
    cause: 'accounts hold the day of their last change, or were added in another order',
    advice: 'give numbers (useradd --uid), add accounts in one RUN, and remove the backups /etc/*-',
  },
  {
    matches: path(/^\/(?:tmp|var\/tmp|run)\//),
    cause: 'a temporary file was left',
    advice: 'remove it in the same RUN, or give the step RUN --mount=type=tmpfs,target=/tmp',
  },
  {
    matches: (file) => starts(0x1f, 0x8b)(file) && (file.bytes?.offset ?? 0) < 10,
    cause: 'gzip keeps the time of what it compressed',
    advice: 'compress with gzip -n',
  },
  {
    matches: starts(0x50, 0x4b, 3, 4),
    cause: 'a zip archive (jar, whl) holds the times and the order of its files',
    advice:
      'give the files one time and zip them sorted with -X, or use the tool’s own option for reproducible archives',
  },
  {
    matches: (file) =>
      path(/\.(?:tar|tgz|tbz2?|txz|tar\.\w+)$/)(file) ||
      Buffer.from(file.head.subarray(257, 262)).toString() === 'ustar',
    cause: 'a tar archive holds times, owners and an order',
    advice: 'tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner',
  },
  {
    matches: starts(0x21, 0x3c, 0x61, 0x72, 0x63, 0x68, 0x3e),
    cause: 'a static library or package holds times and owners',
    advice: 'make it with ar and ranlib’s option D, and packages with SOURCE_DATE_EPOCH set',
  },
  {
    matches: starts(...Buffer.from('SQLite format 3')),
    cause: 'a database counts its changes and orders its pages as they came',
    advice: 'make it by one process in one order, or when the container starts',
  },
  {
    matches: starts(0x7f, 0x45, 0x4c, 0x46),
    cause: 'a program has a time, a path or a random build ID in it',
    advice:
      'avoid __DATE__ and random seeds; -trimpath -buildvcs=false for Go, -Wl,--build-id=none or a fixed path for C',
  },
  {
    matches: ({ isReordered }) => isReordered,
    cause: 'the same lines are in another order: parallel processes, or a directory as the file system lists it',
    advice: 'sort them: find … | LC_ALL=C sort, or do the work one by one',
  },
  {
    matches: text(/[0-9a-f]{8}-[0-9a-f]{4}-/i),
    cause: 'a random identifier (UUID)',
    advice: 'make it from something fixed, or when the container starts',
  },
  {
    matches: text(
      /\d{4}-\d{2}-\d{2}|\d{2}:\d{2}:\d{2}|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b|(?<!\d)(?:1[6-9]\d{8}(?:\d{3})?|20\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[0-2]\d[0-5]\d(?:[0-5]\d)?)?)(?!\d)/,
    ),
    cause: 'a date or time',
    advice: 'leave it out, or take it from SOURCE_DATE_EPOCH (ARG SOURCE_DATE_EPOCH, date -d @$SOURCE_DATE_EPOCH)',
  },
  {
    matches: text(/(?<![0-9a-f])(?:[0-9a-f]{16,}|(?:[0-9a-f]{2}[ :]){8,})/i),
    cause: 'a random number, or a digest of something else that differs',
    advice: 'make it from something fixed, or when the container starts',
  },
  {
    matches: text(/\b(?:pid|host|hostname)\b/i),
    cause: 'a process ID or host name',
    advice: 'leave it out of the file',
  },
  {
    matches: aspect('time'),
    cause: 'a time that the command set itself, or that came with --timestamps real or out of a cache mount',
    advice: 'build with --timestamps fixed (the default), and copy out of cache mounts without keeping times',
  },
  {
    matches: aspect('mode'),
    cause: 'the mode was left to the umask',
    advice: 'set it: COPY --chmod, chmod or install -m in the RUN',
  },
  {
    matches: aspect('owner'),
    cause: 'the owner was taken from a list that came out otherwise',
    advice: 'give numbers: COPY --chown=1000:1000, useradd --uid',
  },
  {
    matches: aspect('missing'),
    cause: 'a file with a random name or a time in its name, or one that is made only sometimes',
    advice: 'remove it in the same RUN, or give it a fixed name',
  },
  {
    matches: text(/^[\s\S]*[^\s\x20-\x7e]/),
    cause: 'random data, or a memory image that differs from run to run',
    advice: 'find what writes it; seeds and keys belong to the start of the container',
  },
]

const unknown: DifferenceCause = {
  cause: 'what the command wrote depends on something that is not an input of the build',
  advice: 'look for random numbers, process IDs, times, the network and parallel work',
}

/** The likely cause of a difference. */
export function causeOf(file: DifferingFile): DifferenceCause {
  const { cause, advice } = rules.find(({ matches }) => matches(file)) ?? unknown
  return { cause, advice }
}

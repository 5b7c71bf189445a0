import { errno } from '../linux/errno.ts'
import type { RuntimeSeccomp, RuntimeSeccompArgument, RuntimeSeccompRule } from '../oci/runtime-spec.ts'

/**
 * docker's default system call filter. What is not named here fails with EPERM, so a new system call stays closed
 * until somebody has looked at it. Kept as lists of words: the table is read by people and costs nothing to load.
 */

/** Always allowed, with any arguments. */
const allowed = `
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap name_to_handle_at nanosleep _newselect newfstatat open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address
setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall
socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee
tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64
ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid
waitpid write writev
process_vm_readv process_vm_writev ptrace
`

/** Allowed besides on one architecture (named as Go names it). */
const allowedOn: Readonly<Record<string, string>> = {
  amd64: 'arch_prctl modify_ldt',
  arm64: 'arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls',
}

/** Allowed besides with a capability. */
const allowedWith: Readonly<Record<string, string>> = {
  CAP_BPF: 'bpf',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_PERFMON: 'perf_event_open',
  CAP_SYS_ADMIN: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd
    setdomainname sethostname setns syslog umount umount2 unshare`,
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime clock_settime64 settimeofday stime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYSLOG: 'syslog',
}

/** personality(2): Linux, 32-bit Linux, both with UNAME26, and "only tell me". Not READ_IMPLIES_EXEC nor no ASLR. */
const personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff]

/**
 * socket(2) families. Closed are AF_VSOCK (40), which reaches the hypervisor past every network namespace, AF_ALG (38)
 * for its record of privilege escalations, and some with hardly a user but a long list of old holes.
 */
const socketFamiliesBelow = 12
const socketFamilies = [
  13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45,
]

/** The flags of clone(2) that make namespaces: all CLONE_NEW* but CLONE_NEWTIME, which shares its bit with a signal. */
const cloneNamespaceFlags = 0x7e02_0000

const architectures: Readonly<Record<string, readonly string[]>> = {
  amd64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
}

/**
 * The filter for a container with `capabilities` on `architecture` (`amd64` or `arm64`), as config-linux.md §Seccomp
 * wants it. clone3(2) fails with ENOSYS, not EPERM, without CAP_SYS_ADMIN: its flags are in memory, where a filter
 * cannot look, and C libraries fall back to clone(2) only then.
 */
export function defaultSeccomp(capabilities: readonly string[], architecture: string): RuntimeSeccomp {
  const held = new Set(capabilities)
  const names = words(allowed)
  names.push(...words(allowedOn[architecture] ?? ''))
  for (const [capability, calls] of Object.entries(allowedWith)) if (held.has(capability)) names.push(...words(calls))

  const rules: RuntimeSeccompRule[] = [{ names: [...new Set(names)], action: 'SCMP_ACT_ALLOW' }]
  rules.push(when('socket', { index: 0, value: socketFamiliesBelow, op: 'SCMP_CMP_LT' }))
  for (const value of socketFamilies) rules.push(when('socket', { index: 0, value, op: 'SCMP_CMP_EQ' }))
  for (const value of personalities) rules.push(when('personality', { index: 0, value, op: 'SCMP_CMP_EQ' }))
  if (!held.has('CAP_SYS_ADMIN')) {
    rules.push(when('clone', { index: 0, value: cloneNamespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }))
    rules.push({ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: errno.ENOSYS })
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: errno.EPERM,
    architectures: architectures[architecture] ?? [],
    syscalls: rules,
  }
}

function when(name: string, argument: RuntimeSeccompArgument): RuntimeSeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [argument] }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}

// See sandbox.h.
#include "sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <iterator>
#include <vector>

#include "locked_memory.h"

namespace fabric::engine {
namespace {

// A uid and gid of the engine's own; no account needs to have it. Below the range of systemd's DynamicUser.
constexpr uid_t kEngineId = 59783;

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kArchitecture = 0;
#endif

// Frames, datagrams, the control socket and its daemons, memory, threads and their end.
constexpr int kAllowed[] = {
    __NR_read,          __NR_write,         __NR_readv,       __NR_writev,         __NR_sendmsg,
    __NR_recvmsg,       __NR_recvmmsg,      __NR_sendto,      __NR_recvfrom,       __NR_ppoll,
    __NR_futex,         __NR_mmap,          __NR_munmap,      __NR_mprotect,       __NR_mremap,
    __NR_madvise,       __NR_brk,           __NR_clone,       __NR_set_robust_list, __NR_clock_gettime,
    __NR_clock_nanosleep, __NR_exit,        __NR_exit_group,  __NR_close,          __NR_getsockopt,
    __NR_rt_sigreturn,  __NR_rt_sigprocmask, __NR_rt_sigaction, __NR_gettid,     __NR_getpid,         __NR_tgkill,
    __NR_sched_yield,   __NR_getrandom,     __NR_restart_syscall, __NR_accept4,    __NR_listen,
    __NR_epoll_ctl,     __NR_epoll_pwait,
#ifdef __NR_epoll_wait
    __NR_epoll_wait,
#endif
#ifdef __NR_poll
    __NR_poll,
#endif
#ifdef __NR_clone3
    __NR_clone3,
#endif
#ifdef __NR_rseq
    __NR_rseq,
#endif
};

sock_filter statement(uint16_t code, uint32_t k) { return BPF_STMT(code, k); }
sock_filter jump(uint16_t code, uint32_t k, uint8_t yes, uint8_t no) { return BPF_JUMP(code, k, yes, no); }

// Any other call ends the process, except prctl(PR_SET_NAME) and what attaches a descriptor of /dev/net/tun to its TAP.
bool filter_system_calls() {
  if (kArchitecture == 0) return false;
  constexpr auto load = [](size_t offset) {
    return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  };
  constexpr uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
  std::vector<sock_filter> program = {
      load(offsetof(seccomp_data, arch)),
      jump(equal, kArchitecture, 1, 0),
      statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      load(offsetof(seccomp_data, nr)),
  };
  for (const int call : kAllowed) {
    program.push_back(jump(equal, static_cast<uint32_t>(call), 0, 1));
    program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  program.push_back(jump(equal, __NR_prctl, 0, 3));
  program.push_back(load(offsetof(seccomp_data, args[0])));
  program.push_back(jump(equal, PR_SET_NAME, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  program.push_back(load(offsetof(seccomp_data, nr)));
  program.push_back(jump(equal, __NR_ioctl, 0, 5));
  program.push_back(load(offsetof(seccomp_data, args[1])));
  program.push_back(jump(equal, TUNSETIFF, 2, 0));
  program.push_back(jump(equal, TUNSETVNETHDRSZ, 1, 0));
  program.push_back(jump(equal, TUNSETOFFLOAD, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

// No mapping is part of a core dump, were one made: MADV_DONTDUMP for all memory, also what is allocated later.
void leave_memory_out_of_dumps() {
  const Descriptor filter(::open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC));
  // Where there is no /proc, the limit of zero bytes below has to do.
  if (filter.open()) [[maybe_unused]] const ssize_t written = write(filter.get(), "0", 1);
}

}  // namespace

std::optional<Fault> enter_sandbox(const SandboxOptions& options, SandboxResult* result) {
  result->locked_memory = lock_memory();
  leave_memory_out_of_dumps();
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (geteuid() == 0) {
    // Leaving uid 0 clears all capability sets.
    const bool dropped = setgroups(0, nullptr) == 0 && setresgid(kEngineId, kEngineId, kEngineId) == 0 &&
                         setresuid(kEngineId, kEngineId, kEngineId) == 0;
    if (!dropped) return Fault::from_errno("internal", "giving up root");
  }
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Fault::from_errno("internal", "forbidding core dumps");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Fault::from_errno("internal", "no_new_privs");
  if (options.use_seccomp) result->seccomp = filter_system_calls();
  return std::nullopt;
}

}  // namespace fabric::engine

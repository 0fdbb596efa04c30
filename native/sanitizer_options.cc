// What the sanitizers of native/sanitized.mk do at a finding: the daemon gives the engine no environment, so it stands here.
// Linked into the instrumented engine only. Leaks are left to the fuzz targets: to look for them at the end takes ptrace,
// which the engine has given up.
extern "C" const char* __tsan_default_options() { return "halt_on_error=1:exitcode=66:second_deadlock_stack=1"; }
extern "C" const char* __asan_default_options() { return "abort_on_error=0:exitcode=67:detect_leaks=0"; }
extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1:exitcode=68"; }

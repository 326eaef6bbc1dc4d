// Keeps the addon loadable on older systems than the one it was built on: down to glibc 2.28, which
// is what Node itself asks for. Symbols that newer glibc versions brought, and that our code,
// libstdc++ or libgcc refer to, are answered here, hidden from everybody else. x86-64 only, where
// prebuilt addons are made; elsewhere the addon is built where it runs.
#include <features.h>
#if defined(__x86_64__) && defined(__GLIBC__)

#include <pthread.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RS_HIDDEN extern "C" __attribute__((visibility("hidden")))

// Moved from libpthread to libc in 2.34, with a new version each; the old one is still there.
extern "C" {
int rs_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int rs_pthread_detach(pthread_t);
int rs_pthread_join(pthread_t, void**);
int rs_pthread_once(pthread_once_t*, void (*)());
int rs_pthread_setaffinity_np(pthread_t, size_t, const cpu_set_t*);
int rs_pthread_setname_np(pthread_t, const char*);
int rs_pthread_key_create(pthread_key_t*, void (*)(void*));
}
__asm__(".symver rs_pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver rs_pthread_detach, pthread_detach@GLIBC_2.2.5");
__asm__(".symver rs_pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver rs_pthread_once, pthread_once@GLIBC_2.2.5");
__asm__(".symver rs_pthread_setaffinity_np, pthread_setaffinity_np@GLIBC_2.3.4");
__asm__(".symver rs_pthread_setname_np, pthread_setname_np@GLIBC_2.12");
__asm__(".symver rs_pthread_key_create, __pthread_key_create@GLIBC_2.2.5");

RS_HIDDEN int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                             void* (*start)(void*), void* argument) noexcept {
  return rs_pthread_create(thread, attributes, start, argument);
}
RS_HIDDEN int pthread_detach(pthread_t thread) noexcept { return rs_pthread_detach(thread); }
RS_HIDDEN int pthread_join(pthread_t thread, void** result) {
  return rs_pthread_join(thread, result);
}
RS_HIDDEN int pthread_once(pthread_once_t* once, void (*run)()) {
  return rs_pthread_once(once, run);
}
RS_HIDDEN int pthread_setaffinity_np(pthread_t thread, size_t size,
                                     const cpu_set_t* cpus) noexcept {
  return rs_pthread_setaffinity_np(thread, size, cpus);
}
RS_HIDDEN int pthread_setname_np(pthread_t thread, const char* name) noexcept {
  return rs_pthread_setname_np(thread, name);
}
RS_HIDDEN int __pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) noexcept {
  return rs_pthread_key_create(key, destroy);
}

// 2.30.
RS_HIDDEN pid_t gettid() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }
// 2.33.
RS_HIDDEN int fstat64(int fd, struct stat64* into) noexcept {
  return static_cast<int>(syscall(SYS_fstat, fd, into));
}
// 2.36; std::random_device refers to it.
RS_HIDDEN uint32_t arc4random() noexcept {
  uint32_t value = 0;
  while (getrandom(&value, sizeof value, 0) != sizeof value) {
  }
  return value;
}
// 2.32: libstdc++ leaves out atomic operations when it is true.
extern "C" {
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}
// 2.35: libgcc looks for unwind tables with it. The addon is built without exceptions: nothing
// unwinds through it, and an exception that libstdc++ throws all the same ends the process, as it
// would without handlers.
RS_HIDDEN int _dl_find_object(void*, void*) noexcept { return -1; }

#endif

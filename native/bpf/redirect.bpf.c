/* The XDP redirect program alone, for an XDP port without the steering programs (tests, the
 * library). */
#include "bpf/redirect.bpf.h"

char _license[] SEC("license") = "GPL";

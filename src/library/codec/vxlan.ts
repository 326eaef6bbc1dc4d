// The VXLAN header (RFC 7348 section 5), read as strictly as the kernel reads it. Pure.
//
//   |R|R|R|R|I|R|R|R|            Reserved                           |
//   |                VXLAN Network Identifier (VNI) |   Reserved    |

export const VXLAN_HEADER_BYTES = 8;
export const VNI_MAX = 0xff_ffff;
const FLAG_I = 0x08;

/** Throws a RangeError for a VNI that does not fit 24 bits, which is a bug in the caller. */
export function writeVxlanHeader(bytes: Uint8Array, at: number, vni: number): void {
  if (!Number.isInteger(vni) || vni < 0 || vni > VNI_MAX) throw new RangeError(`not a VNI: ${vni}`);
  bytes[at] = FLAG_I;
  bytes[at + 1] = 0;
  bytes[at + 2] = 0;
  bytes[at + 3] = 0;
  bytes[at + 4] = vni >>> 16;
  bytes[at + 5] = vni >>> 8;
  bytes[at + 6] = vni;
  bytes[at + 7] = 0;
}

/** The VNI; -1 when the I flag is missing, a reserved bit is set, or the header is cut off. */
export function readVxlanHeader(bytes: Uint8Array, at = 0): number {
  if (at < 0 || at + VXLAN_HEADER_BYTES > bytes.length) return -1;
  if (
    bytes[at] !== FLAG_I ||
    ((bytes[at + 1] as number) | (bytes[at + 2] as number) | (bytes[at + 3] as number)) !== 0
  ) {
    return -1;
  }
  if (bytes[at + 7] !== 0) return -1;
  return ((bytes[at + 4] as number) << 16) | ((bytes[at + 5] as number) << 8) | (bytes[at + 6] as number);
}

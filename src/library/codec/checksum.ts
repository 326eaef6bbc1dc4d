// The Internet checksum (RFC 1071). Pure; works on ranges, so that nothing is copied.

/** One's complement sum of `length` bytes, not folded; `initial` continues another sum. An odd end counts as padded with zero. */
export function checksumSum(bytes: Uint8Array, from: number, length: number, initial = 0): number {
  let sum = initial;
  const end = from + length - 1;
  let at = from;
  for (; at < end; at += 2) sum += ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  if (at === end) sum += (bytes[at] as number) << 8;
  return sum;
}

/** The field's value for a sum: folded to 16 bits and inverted. */
export function checksumFinish(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}

/** The checksum of a range in which the field itself is zero; 0 over a range whose field is right. */
export function checksum(bytes: Uint8Array, from = 0, length = bytes.length - from): number {
  return checksumFinish(checksumSum(bytes, from, length));
}

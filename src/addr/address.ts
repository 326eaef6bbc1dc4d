// Address value types shared by everything. Parsing and formatting live beside this file (ipv4.ts, ipv6.ts, prefix.ts,
// mac.ts). Pure: no I/O, safe to import anywhere.

declare const brand: unique symbol;

/** An IPv4 address as an unsigned 32-bit number in host order. */
export type Ipv4 = number & { readonly [brand]: "Ipv4" };
/** An IPv6 address as a 128-bit bigint in host order. */
export type Ipv6 = bigint & { readonly [brand]: "Ipv6" };
/** A MAC address in lower-case colon form. */
export type Mac = string & { readonly [brand]: "Mac" };

/** An IPv4 prefix; host bits of `address` are zero unless a caller says otherwise. */
export interface Prefix4 {
  readonly family: 4;
  readonly address: Ipv4;
  readonly length: number;
}
/** An IPv6 prefix; host bits of `address` are zero unless a caller says otherwise. */
export interface Prefix6 {
  readonly family: 6;
  readonly address: Ipv6;
  readonly length: number;
}
export type Prefix = Prefix4 | Prefix6;

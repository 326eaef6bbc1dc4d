// flannel's BackendData of a vxlan lease: {"VNI":1,"VtepMAC":"aa:bb:.."}. Read leniently (unknown fields, no VNI from very old
// peers, any key case, as Go reads it), because other versions write it; the MAC alone decides. Pure.
import { z } from "zod";
import type { Mac } from "../../addr/address.js";
import { isUnicastMac, parseMac } from "../../addr/mac.js";
import { foldKeys, isJsonObject } from "../../config/case-folded.js";

export interface VxlanBackendData {
  readonly VNI: number;
  readonly VtepMAC: Mac;
}

const vtepMac = z.string().transform((text, context) => {
  const mac = parseMac(text);
  if (mac !== null && isUnicastMac(mac)) return mac;
  context.addIssue({ code: "custom", message: `VtepMAC "${text.slice(0, 40)}" is no unicast MAC address` });
  return z.NEVER;
});
const SCHEMA = z.looseObject({ VtepMAC: vtepMac });

/** flannel's field order; it is compared byte for byte by nobody, but people look at it. */
export function vxlanBackendData(vni: number, mac: Mac): VxlanBackendData {
  return { VNI: vni, VtepMAC: mac };
}

export function readVtepMac(data: unknown): Mac | { readonly reason: string } {
  if (!isJsonObject(data)) return { reason: "its BackendData is missing or no object" };
  const outcome = SCHEMA.safeParse({ ...foldKeys(data, ["VNI", "VtepMAC"]).values });
  if (outcome.success) return outcome.data.VtepMAC;
  const issue = outcome.error.issues[0];
  return { reason: `its BackendData: ${issue?.code === "custom" ? issue.message : "VtepMAC is missing or no text"}` };
}

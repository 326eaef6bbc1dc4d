// What the kernel itself counted on a device: the independent witness of who carried the packets.
import type { Runner } from "../runner.js";

export interface DeviceCounters {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

interface IpStatistics {
  readonly stats64: {
    readonly rx: { readonly packets: number; readonly bytes: number; readonly dropped: number };
    readonly tx: { readonly packets: number; readonly bytes: number; readonly dropped: number };
  };
}

export async function deviceCounters(runner: Runner, namespace: string, device: string): Promise<DeviceCounters> {
  const text = await runner.must("ip", ["-n", namespace, "-json", "-statistics", "link", "show", "dev", device]);
  const { rx, tx } = (JSON.parse(text) as readonly [IpStatistics])[0].stats64;
  return {
    rxPackets: rx.packets,
    txPackets: tx.packets,
    rxBytes: rx.bytes,
    txBytes: tx.bytes,
    rxDropped: rx.dropped,
    txDropped: tx.dropped,
  };
}

export function countedSince(before: DeviceCounters, after: DeviceCounters): DeviceCounters {
  return {
    rxPackets: after.rxPackets - before.rxPackets,
    txPackets: after.txPackets - before.txPackets,
    rxBytes: after.rxBytes - before.rxBytes,
    txBytes: after.txBytes - before.txBytes,
    rxDropped: after.rxDropped - before.rxDropped,
    txDropped: after.txDropped - before.txDropped,
  };
}

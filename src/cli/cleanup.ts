// `ripstop cleanup [--dry-run]`: removes from this host what Ripstop made. Exit codes: 0 all removed, 1 something stayed.
import type { Command } from "commander";
import { nativePath } from "../config/native-path.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { runDirOption, stateDirOption, subnetFileOption } from "./shared-options.js";

interface CleanupFlags {
  readonly dryRun?: boolean;
  readonly runDir: string;
  readonly stateDir: string;
  readonly subnetFile: string;
}

export const cleanupCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("cleanup")
      .description("remove from this host what Ripstop made: device, routes, data plane, files")
      .option("--dry-run", "only say what would be removed")
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addOption(subnetFileOption())
      .action(async (flags: CleanupFlags) => finish(await cleanUp(flags, context)));
  },
};

async function cleanUp(flags: CleanupFlags, context: CommandContext): Promise<number> {
  const { planCleanup } = await import("../agent/cleanup.js");
  const { requireCapabilities } = await import("../agent/privileges.js");
  const { loadNative } = await import("../dataplane/native.js");
  const { Netlink } = await import("../host/netlink.js");
  const { systemClock } = await import("../lib/clock.js");
  if (flags.dryRun !== true) requireCapabilities("cleanup", ["CAP_NET_ADMIN"]);
  const netlink = Netlink.open({ binding: loadNative({ path: nativePath() }).netlink });
  try {
    const steps = await planCleanup({ ...flags, netlink, clock: systemClock });
    let failed = false;
    for (const { description, run } of steps) {
      if (flags.dryRun === true) {
        context.out(`would remove ${description}\n`);
        continue;
      }
      const problems = await run();
      if (problems.length === 0) context.out(`removed ${description}\n`);
      for (const problem of problems) context.err(`ripstop: cannot remove ${problem}\n`);
      failed ||= problems.length > 0;
    }
    if (steps.length === 0) context.out("nothing of Ripstop's is here\n");
    return failed ? 1 : 0;
  } finally {
    netlink.close();
  }
}

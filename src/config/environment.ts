// FLANNELD_* variables: the flag name in upper case, dashes and dots as underscores. They fill only flags the command line
// left alone; an empty variable counts as absent; a bad value keeps the default and is reported, as flanneld does.
import { type FlagSpec, type FlagValue, type ParsedFlags, parseFlagValue } from "./go-flags.js";

export const ENVIRONMENT_PREFIX = "FLANNELD_";

export type Environment = Readonly<Record<string, string | undefined>>;

export function environmentName(flag: string): string {
  return ENVIRONMENT_PREFIX + flag.toUpperCase().replaceAll(/[-.]/g, "_");
}

export interface EnvironmentOutcome {
  readonly flags: ParsedFlags;
  /** Names of flags that a variable filled. */
  readonly filled: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

export function applyEnvironment(
  specs: readonly FlagSpec[],
  flags: ParsedFlags,
  environment: Environment,
): EnvironmentOutcome {
  const values = new Map<string, FlagValue>(flags.values);
  const filled = new Set<string>();
  const warnings: string[] = [];
  const known = new Set<string>();
  for (const spec of specs) {
    const variable = environmentName(spec.name);
    known.add(variable);
    const text = environment[variable];
    if (text === undefined || text === "" || flags.given.has(spec.name) || spec.name === "version") continue;
    const parsed = parseFlagValue(spec, text);
    if (typeof parsed === "string") {
      const shown = spec.secret ? "***" : text;
      warnings.push(`${variable}="${shown}" is ignored: ${parsed}; -${spec.name} keeps its default`);
      continue;
    }
    values.set(spec.name, parsed.value);
    filled.add(spec.name);
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith(ENVIRONMENT_PREFIX) && !known.has(name))
      warnings.push(`${name} matches no flag and is ignored`);
    // FLANNEL_ without the D is a common slip; subnet.env's own names are not.
    const slip = name.startsWith("FLANNEL_") ? `FLANNELD_${name.slice("FLANNEL_".length)}` : "";
    if (known.has(slip)) warnings.push(`${name} is ignored: the variable is called ${slip}`);
  }
  return { flags: { ...flags, values }, filled, warnings };
}

/** The variables flanneld reads besides its flags. */
export interface NodeEnvironment {
  readonly nodeName: string | null;
  readonly podName: string | null;
  readonly podNamespace: string | null;
  readonly notifySocket: string | null;
}

export function readNodeEnvironment(environment: Environment): NodeEnvironment {
  const get = (name: string) => environment[name] || null;
  return {
    nodeName: get("NODE_NAME"),
    podName: get("POD_NAME"),
    podNamespace: get("POD_NAMESPACE"),
    notifySocket: get("NOTIFY_SOCKET"),
  };
}

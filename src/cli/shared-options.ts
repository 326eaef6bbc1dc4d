// Options that several commands have, worded once.
import { InvalidArgumentError, Option } from "commander";
import { agentFolder } from "../config/agent-folders.js";

const WATCH_SECONDS = 2;

export function runDirOption(): Option {
  return new Option("--run-dir <directory>", "run directory of the agent").default(agentFolder("run-dir"));
}

export function outputOption(): Option {
  return new Option("-o, --output <format>", "table for people, json for programs")
    .choices(["table", "json"])
    .default("table");
}

export function watchOption(): Option {
  return new Option("-w, --watch [seconds]", "show it again and again").preset(WATCH_SECONDS).argParser(parseSeconds);
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.1 && seconds <= 86_400)) throw new InvalidArgumentError("It must be 0.1 to 86400 seconds.");
  return seconds;
}

export function stateDirOption(): Option {
  return new Option("--state-dir <directory>", "state directory of the agent").default(agentFolder("state-dir"));
}

export function subnetFileOption(): Option {
  return new Option("--subnet-file <file>", "the agent's subnet.env").default(agentFolder("subnet-file"));
}

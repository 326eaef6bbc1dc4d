// The one place that hands out the process's environment; everything that reads a variable is given this value.
import type { Environment } from "./environment.js";

export function processEnvironment(): Environment {
  return process.env;
}

// Reads RIPSTOP_NATIVE_PATH, the explicit place of the native addon. Pure apart from the environment it is given.

/** The addon file to load instead of the packaged one; undefined when the variable is unset or empty. */
export function nativePath(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const path = environment["RIPSTOP_NATIVE_PATH"];
  return path === undefined || path === "" ? undefined : path;
}

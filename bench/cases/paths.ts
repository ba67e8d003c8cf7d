/** Where things are, seen from the compiled programs in `.build/bench`. */

/** A file of the project, by its path from the top. */
export function projectFile(path: string): URL {
  return new URL(`../../../${path}`, import.meta.url)
}

/** A compiled program of the far side, by its name in `bench/far`. */
export function farProgram(name: string): URL {
  return new URL(`../far/${name}.js`, import.meta.url)
}

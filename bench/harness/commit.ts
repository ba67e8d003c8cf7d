/** Which commit was measured. */
import { execFileSync } from 'node:child_process'
import type { Commit } from './model.ts'

/**
 * The commit that is checked out in a folder, as it is now, and whether the files that it has are those of the folder. Files that it does not have are not
 * looked at: only a changed one could use them. Undefined where the folder is not the top of a repository of git, for one further up says nothing of what is in
 * this one; and where there is no git, or no commit yet.
 */
export function commitOf(folder: URL): Commit | undefined {
  const git = (...args: string[]): string =>
    execFileSync('git', ['--no-optional-locks', ...args], { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [prefix, id = ''] = git('rev-parse', '--show-prefix', '--verify', 'HEAD').split('\n')
    if (prefix !== '' || id === '') return undefined
    return { id, clean: git('status', '--porcelain', '--untracked-files=no') === '' }
  } catch {
    return undefined
  }
}

/** `0d78264f3a1b`, and whether that is all. */
export function commitText({ id, clean }: Commit): string {
  return `${id.slice(0, 12)}${clean ? '' : ', with changes that are not committed'}`
}

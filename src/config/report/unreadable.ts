/** Why a file cannot be read, in words: of what reading it threw. */
export function whyUnreadable(error: unknown): string {
  const { code = 'unknown error', most = 0 } = Object(error) as NodeJS.ErrnoException & { most?: number }
  if (code === 'FILE_TOO_LARGE') return `it is larger than ${most / 1024 ** 2} MiB`
  return reasons[code] ?? code
}

/** The same as a sentence about the file that was named. */
export function unreadableText(path: string, error: unknown): string {
  const why = whyUnreadable(error)
  return why === reasons.ENOENT ? `no such file: ${path}` : `${path} cannot be read: ${why}`
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'part of its path is not a directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  NOT_A_FILE: 'it is a pipe or a device, not a file',
  ELOOP: 'its symbolic links form a loop',
  ENAMETOOLONG: 'its name is too long',
  ERR_INVALID_ARG_VALUE: 'its name contains a NUL byte',
}

// The types of docker-archive.mjs, for the lab.

export interface ArchivedImage {
  /** With its tag. */
  readonly name: string;
  /** As in the image specification: Cmd, Entrypoint, Env, … */
  readonly config: Readonly<Record<string, unknown>>;
}

/** `layer`: a tar of the root file system, in a directory that can be written to. Throws when tar fails. */
export function writeDockerArchive(
  file: string,
  contents: { readonly layer: string; readonly images: readonly ArchivedImage[] },
): void;

// The versions of the CNI specification that fabric serves and what each allows: which verbs exist, which shape a result
// has. Versions are compared by their place in one list, so an unlisted version has no order and is refused (code 1).

export const CNI_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

/** What a configuration without `cniVersion` means: the field is younger than the format (0.1.0 and 0.2.0 are alike). */
export const CNI_VERSION_WHEN_MISSING: CniVersion = '0.1.0';
export const CNI_VERSION_NEWEST: CniVersion = '1.1.0';

export const CNI_VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type CniVerb = (typeof CNI_VERBS)[number];

const VERB_SINCE: Readonly<Record<CniVerb, CniVersion>> = {
  ADD: '0.1.0',
  DEL: '0.1.0',
  VERSION: '0.1.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

export function parseCniVersion(text: string): CniVersion | null {
  return CNI_VERSIONS.find((version) => version === text) ?? null;
}

export function parseVerb(text: string): CniVerb | null {
  return CNI_VERBS.find((verb) => verb === text) ?? null;
}

export function atLeast(version: CniVersion, minimum: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(minimum);
}

/** The version from which on a configuration may be used with this verb. */
export function verbSince(verb: CniVerb): CniVersion {
  return VERB_SINCE[verb];
}

/** The answer to VERSION. `asked` is echoed as it came (specification §VERSION), whatever it says. */
export function versionReport(asked: string | null): string {
  return `${JSON.stringify({ cniVersion: asked ?? CNI_VERSION_NEWEST, supportedVersions: CNI_VERSIONS })}\n`;
}

export const ABOUT_TEXT = `fabric: CNI plugin of the fabric overlay network
CNI protocol versions supported: ${CNI_VERSIONS.join(', ')}
`;

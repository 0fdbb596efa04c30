// Peer ids in what people read, as the nicknames that they know hosts by. Pure parts speak of peers by id alone, also in the reasons
// of their errors; whoever passes such a text on to people puts the names in.

import { FabricError } from '../base/errors.ts';
import { type PeerId, parsePeerId } from '../base/ids.ts';

/** As Directory.nameOf: of a host without a nickname its id. */
type NameOf = (peer: PeerId) => string;

export function withNicknames(text: string, nameOf: NameOf): string {
  return text.replaceAll(/\b[0-9a-f]{32}\b/g, (word) => {
    const peer = parsePeerId(word);
    return peer === null ? word : nameOf(peer);
  });
}

/** An expected failure with nicknames in its reason; any other error as it is. */
export function reasonWithNicknames(error: unknown, nameOf: NameOf): unknown {
  if (!(error instanceof FabricError) || error.explanation.why === undefined) return error;
  const why = withNicknames(error.explanation.why, nameOf);
  return new FabricError(error.code, { ...error.explanation, why }, { cause: error });
}

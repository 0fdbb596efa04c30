// The list of attachments that a runtime's GC declares valid: `cni.dev/valid-attachments`, or `cni.dev/attachments` as
// libcni sent it before. No list at all is refused: a slip of a runtime must not cut every container off.

import type { AttachmentKey } from './backend.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import type { JsonFields } from './json-fields.ts';

const KEYS = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const;

/** Throws CniError 7. A null list is an empty one, as Go encodes it. */
export function readAttachments(config: JsonFields): readonly Pick<AttachmentKey, 'containerId' | 'ifname'>[] {
  const key = KEYS.find((name) => config.has(name));
  if (key === undefined) {
    throw new CniError(CNI_CODE.config, `GC needs ${KEYS[0]}`, 'an empty list removes all attachments of the network');
  }
  return config.objects(key).map((item) => {
    const containerId = item.string('containerID') ?? '';
    const ifname = item.string('ifname') ?? '';
    if (containerId === '' || ifname === '') {
      throw new CniError(CNI_CODE.config, `${item.place} needs containerID and ifname`);
    }
    return { containerId, ifname };
  });
}

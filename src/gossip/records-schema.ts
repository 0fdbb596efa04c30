// proto/records.proto as protobufjs descriptors, so that this pure folder reads no file and nothing is generated at build
// time. test/gossip/record-codec.test.ts parses the .proto and fails when the two differ.

import protobuf from 'protobufjs/light.js';

export const RECORDS_PACKAGE = 'fabric.records.v1';

const MESSAGES = {
  Endpoint: { fields: { ip: { type: 'bytes', id: 1 }, port: { type: 'uint32', id: 2 } } },
  Prefix: { fields: { base: { type: 'bytes', id: 1 }, length: { type: 'uint32', id: 2 } } },
  Peer: {
    fields: {
      nickname: { type: 'string', id: 1 },
      version: { type: 'string', id: 2 },
      protocolMin: { type: 'uint32', id: 3 },
      protocolMax: { type: 'uint32', id: 4 },
      bootId: { type: 'bytes', id: 5 },
      identityKey: { type: 'bytes', id: 6 },
      staticKey: { type: 'bytes', id: 7 },
      endpoints: { rule: 'repeated', type: 'Endpoint', id: 8 },
      networks: { rule: 'repeated', type: 'uint32', id: 9, options: { packed: true } },
      nat: { type: 'Nat', id: 10 },
    },
  },
  Nat: {
    fields: {
      observed: { rule: 'repeated', type: 'Endpoint', id: 1 },
      symmetric: { type: 'bool', id: 2 },
      rendezvous: { rule: 'repeated', type: 'bytes', id: 3 },
    },
  },
  Lease: {
    fields: {
      owner: { type: 'bytes', id: 1 },
      giftId: { type: 'bytes', id: 2 },
      donor: { type: 'bytes', id: 3 },
      signature: { type: 'bytes', id: 4 },
    },
  },
  Removal: { fields: { nickname: { type: 'string', id: 1 }, revoked: { type: 'bool', id: 2 } } },
  Rotation: {
    fields: {
      graceS: { type: 'uint32', id: 1 },
      excluded: { rule: 'repeated', type: 'bytes', id: 2 },
    },
  },
  Seals: {
    fields: {
      ephemeralKey: { type: 'bytes', id: 1 },
      seals: { rule: 'repeated', type: 'Seal', id: 2 },
    },
  },
  Seal: { fields: { member: { type: 'bytes', id: 1 }, sealed: { type: 'bytes', id: 2 } } },
  Network: {
    fields: {
      name: { type: 'string', id: 1 },
      range: { type: 'Prefix', id: 2 },
      range6: { type: 'Prefix', id: 3 },
      leasePrefix: { type: 'uint32', id: 4 },
      leasePrefix6: { type: 'uint32', id: 5 },
      internal: { type: 'bool', id: 6 },
    },
  },
  NetworkRemoval: { fields: {} },
  AttachmentKind: { values: { CONTAINER: 0, HOST: 1, FOREIGN: 2 } },
  Attachment: {
    fields: {
      ips: { rule: 'repeated', type: 'bytes', id: 1 },
      sequence: { type: 'uint32', id: 2 },
      name: { type: 'string', id: 3 },
      kind: { type: 'AttachmentKind', id: 4 },
      aliases: { rule: 'repeated', type: 'string', id: 5 },
    },
  },
  Name: { fields: { targets: { rule: 'repeated', type: 'NameTarget', id: 1 } } },
  NameTarget: { fields: { ip: { type: 'bytes', id: 1 }, mac: { type: 'bytes', id: 2 } } },
  Genesis: {
    fields: {
      genesisId: { type: 'bytes', id: 1 },
      clusterId: { type: 'bytes', id: 2 },
      creator: { type: 'bytes', id: 3 },
      creatorKey: { type: 'bytes', id: 4 },
      range: { type: 'Prefix', id: 5 },
      range6: { type: 'Prefix', id: 6 },
      leasePrefix: { type: 'uint32', id: 7 },
      leasePrefix6: { type: 'uint32', id: 8 },
      mtu: { type: 'uint32', id: 9 },
      signature: { type: 'bytes', id: 10 },
    },
  },
};

const root = protobuf.Root.fromJSON({
  nested: { fabric: { nested: { records: { nested: { v1: { nested: MESSAGES } } } } } },
}).resolveAll();

/** The protobufjs type of one message of the schema. */
export function recordType(
  name:
    | 'Peer'
    | 'Lease'
    | 'Removal'
    | 'Rotation'
    | 'Seals'
    | 'Network'
    | 'NetworkRemoval'
    | 'Attachment'
    | 'Name'
    | 'Genesis',
): protobuf.Type {
  return root.lookupType(`${RECORDS_PACKAGE}.${name}`);
}

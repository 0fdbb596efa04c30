// The part of npm's dns-packet that fabric uses; its names are dotted text without a trailing dot.
declare module 'dns-packet' {
  export interface SoaData {
    readonly mname: string;
    readonly rname: string;
    readonly serial: number;
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minimum: number;
  }
  export type AnswerRecord =
    | { readonly type: 'A' | 'AAAA' | 'NS' | 'PTR'; readonly name: string; readonly ttl: number; readonly data: string }
    | { readonly type: 'SOA'; readonly name: string; readonly ttl: number; readonly data: SoaData }
    | {
        readonly type: 'OPT';
        readonly name: '.';
        readonly udpPayloadSize: number;
        readonly extendedRcode: number;
        readonly ednsVersion: number;
        readonly flags: number;
        readonly options: readonly [];
      };
  export interface Packet {
    readonly id?: number;
    readonly type?: 'query' | 'response';
    readonly flags?: number;
    readonly questions?: readonly { readonly name: string; readonly type: string; readonly class?: string }[];
    readonly answers?: readonly AnswerRecord[];
    readonly authorities?: readonly AnswerRecord[];
    readonly additionals?: readonly AnswerRecord[];
  }
  const dnsPacket: {
    readonly answer: {
      /** Freshly allocated; throws on data that is none of that type. */
      encode(record: AnswerRecord): Uint8Array;
    };
    encode(packet: Packet): Buffer;
    /** Throws on malformed input. */
    decode(bytes: Buffer): Required<Packet> & { readonly rcode: string };
  };
  export default dnsPacket;
}

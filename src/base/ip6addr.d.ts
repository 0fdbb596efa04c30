// The part of npm's ip6addr that fabric uses; the package ships no types.
declare module 'ip6addr' {
  interface Addr {
    /** 16 bytes in network order. */
    toBuffer(): Uint8Array;
  }
  const ip6addr: { /** Throws ParseError on malformed text. */ parse(text: string): Addr };
  export default ip6addr;
}

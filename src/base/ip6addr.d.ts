// The part of npm's ip6addr that fabric uses; the package ships no types.
declare module 'ip6addr' {
  interface Addr {
    /** Eight groups of four hexadecimal digits, with these options. */
    toString(options: { readonly format: 'v6'; readonly zeroElide: false; readonly zeroPad: true }): string;
  }
  const ip6addr: { /** Throws ParseError on malformed text. */ parse(text: string): Addr };
  export default ip6addr;
}

/** Where a build secret's value is; read only when a step asks for it. */
export type SecretSource =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'env'; readonly value: string }

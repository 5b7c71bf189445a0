import { type AttestationManifest, attestationManifest } from '../../attest/attestation-manifest.ts'
import { imageSubjects } from '../../attest/image-subjects.ts'
import { statementOf } from '../../attest/statement.ts'
import { CairnError } from '../../errors/error.ts'
import type { Reference } from '../../oci/reference.ts'
import type { FormedImage } from '../../outputs/form-image.ts'
import type { ImageForm } from '../../outputs/output.ts'
import type { ExportedAttestations } from './export-build.ts'

/** The attestation manifests of images in one form, one for each. Throws NOT_SUPPORTED for Docker's media types. */
export async function attestImages(
  attestations: ExportedAttestations,
  images: readonly FormedImage[],
  form: ImageForm,
  names: readonly Reference[],
): Promise<readonly AttestationManifest[]> {
  if (!form.ociTypes) throw new CairnError('NOT_SUPPORTED', 'cannot export attestations with "oci-mediatypes=false"')
  const isArtifact = form.ociArtifact || attestations.store === 'referrers'
  const manifests: AttestationManifest[] = []
  for (const [index, image] of images.entries()) {
    const predicates = await attestations.predicates(index, image)
    const subjects = imageSubjects(names, image.target.digest, image.target.platform)
    const statements = predicates.map((predicate) => statementOf(predicate, subjects))
    manifests.push(attestationManifest(image.target, statements, isArtifact))
  }
  return manifests
}

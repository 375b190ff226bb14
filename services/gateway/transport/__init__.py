"""Transport of DICOM objects: DICOMweb over HTTP, and C-STORE over DICOM's own protocol, in and out."""

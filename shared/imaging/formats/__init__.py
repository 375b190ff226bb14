"""Image files to arrays and back: PGM, PNG, JPEG, TIFF and DICOM."""

"""DICOM objects of a report: one module for each kind, and the modules and UIDs that they share."""

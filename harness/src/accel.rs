//! Is KVM here, really?

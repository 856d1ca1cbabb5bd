//! What of ffmpeg names a file, an address or a device, or runs what is written elsewhere: for tests only.
//!
//! The grammar lists what is allowed; this is the other list, made independently of it: from `ffmpeg -h full`, `-filters` and
//! `-muxers` of version 5.1 (every option whose help speaks of a file, path, URL, address, device, model or script), from
//! what the documentation of later versions adds, and from that of x264, x265 and SVT-AV1. A property test holds them
//! against each other: what passes the grammar has nothing of this.

/// The words of a list.
pub(super) fn words(list: &'static str) -> Vec<&'static str> {
    list.split_whitespace().collect()
}

/// Options of the program, of encoders, muxers, protocols and devices, without the leading `-`.
pub(super) const OPTIONS: &str = "
    i progress filter_complex lavfi filter_complex_script filter_script filter vstats vstats_file sdp_file
    vaapi_device qsv_device init_hw_device filter_hw_device hwaccel hwaccel_device attach dump_attachment fpre
    vpre apre spre pre pass passlogfile target report map_channel stats_enc_pre stats_enc_post stats_mux_pre
    stats_enc_pre_fmt stats_enc_post_fmt stats_mux_pre_fmt print_graphs_file print_graphs metadata y n
    protocol_whitelist protocol_blacklist format_whitelist codec_whitelist devices sources sinks
    stats x264opts intra_matrix inter_matrix chroma_intra_matrix aom-params omx_libname xavs2-params
    kvazaar-params vvenc-params
    segment_list segment_list_entry_prefix segment_header_filename segment_format hls_segment_filename
    hls_base_url hls_enc hls_enc_key hls_enc_key_url hls_key_info_file hls_fmp4_init_filename
    hls_subtitle_path master_pl_name var_stream_map init_seg_name media_seg_name single_file_name single_file
    utc_timing_url header strftime strftime_mkdir frame_pts fifo_format fifo_options use_fifo format_options
    ice_name ice_url
    ca_file cafile cert_file key_file private_key localaddr localport http_proxy listen device server
    display_name graph_file graph rtmp_swfurl rtmp_tcurl rtmp_pageurl rtmp_app rtmp_playpath dvguid assetmaps
    allowed_extensions gateway ftp-user subfile
";

/// Filters that open files or addresses, take commands or code, or have further inputs or outputs.
pub(super) const FILTERS: &str = "
    movie amovie sendcmd asendcmd zmq azmq ametadata metadata arnndn asr ass subtitles cellauto cover_rect
    curves derain deshake dnn_classify dnn_detect dnn_processing drawtext find_rect firequalizer flite frei0r
    frei0r_src ladspa lv2 life libplacebo libvmaf lut1d lut3d haldclut haldclutsrc nnedi psnr removelogo
    selectivecolor showcqt signature sofalizer sr ssim ssim360 vidstabdetect vidstabtransform vif vmafmotion
    xpsnr xfade_opencl program_opencl openclsrc coreimage coreimagesrc hwmap hwupload hwupload_cuda hwdownload
    ddagrab gfxcapture whisper qrencode qrencodesrc quirc ocr afir headphone overlay alphamerge blend concat
    streamselect amix amerge join xstack hstack vstack mix interleave select aselect segment asegment geq
    aeval aevalsrc buffer abuffer buffersink abuffersink sine testsrc color nullsink anullsink replaygain
    perms cue acue realtime arealtime graphmonitor loop aloop reverse areverse
";

/// Options of filters that name a file, an address, code or a model.
pub(super) const FILTER_OPTIONS: &str = "
    filename file textfile fontfile result input output model labels plot psfile stats_file dumpfile axisfile
    object cover weights sofa kernel source commands bind_address custom_shader_path log_path model_path hmm
    lm dict filter_name plugin controls derive_device
";

/// Muxers that write more than one file, files of other names, to addresses or devices, or run other muxers; and names
/// that are no muxers.
pub(super) const MUXERS: &str = "
    tee segment stream_segment ssegment hls dash hds smoothstreaming webm_chunk webm_dash_manifest image2
    concat fifo fifo_test md5 framemd5 hash framehash streamhash crc framecrc ffmetadata null rtp rtp_mpegts
    rtsp sap mpjpeg alsa oss pulse sdl sdl2 opengl xv fbdev caca v4l2 decklink audiotoolbox lavfi chromaprint
    whip mkvtimestamp_v2 rawvideo data ismv f4v uncodedframecrc file: http:
";

/// Parameters of x264, x265 and SVT-AV1 that name files, or that make or use the files of two passes.
pub(super) const PARAMETERS: &str = "
    stats pass qpfile cqmfile dump-yuv tcfile-in tcfile-out index opencl opencl-clbin csv analysis-save
    analysis-load analysis-reuse-file scaling-list lambda-file zonefile dolby-vision-rpu dhdr10-info recon
    recon-y4m-exec aom-film-grain multi-pass-opt-analysis stat-file fgs-table roi-map-file pred-struct-file
    errlog input-stat-file output-stat-file
";

/// Encoders that are devices or hand the pictures on as they are, and names that are paths.
pub(super) const ENCODERS: &str = "
    h264_v4l2m2m hevc_v4l2m2m h264_vaapi hevc_vaapi av1_vaapi h264_nvenc h264_qsv h264_omx h264_vulkan
    rawvideo wrapped_avframe dvdsub vnull anull libxavs ../x /x x.so
";
